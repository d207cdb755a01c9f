// Which heartbeats are marked, over all that a list becomes while it is open.
const marked = new Set();
const boxes = () => [...document.querySelectorAll('#rows input[name="id"]')];

function show() {
  const bar = document.getElementById("bulk");
  if (!bar) return;
  const here = boxes();
  const count = here.filter((box) => box.checked).length;
  bar.hidden = count === 0;
  document.getElementById("marked").textContent = count ? `${count} marked` : "";
  const all = document.getElementById("mark-all");
  if (!all) return;
  all.checked = count > 0 && count === here.length;
  all.indeterminate = count > 0 && count < here.length;
}

export function keepMarks() {
  for (const box of boxes()) box.checked = marked.has(box.value);
  show();
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.id === "mark-all") for (const each of boxes()) each.checked = box.checked;
  else if (box.name !== "id") return;
  for (const each of boxes()) each.checked ? marked.add(each.value) : marked.delete(each.value);
  show();
});
