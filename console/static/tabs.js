// Sections that stand one below the other become tabs.
const KEPT = "snippet";

function choose(place, section, focus) {
  for (const tab of place.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === section.id;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
  }
  for (const each of place.querySelectorAll("[role=tabpanel]")) each.hidden = each !== section;
}

function make(place) {
  const sections = [...place.querySelectorAll("[data-tab]")];
  const list = document.createElement("div");
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Kinds of jobs");
  for (const section of sections) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", section.id);
    tab.textContent = section.dataset.tab;
    tab.addEventListener("click", () => {
      choose(place, section, false);
      localStorage.setItem(KEPT, section.id);
    });
    section.setAttribute("role", "tabpanel");
    list.append(tab);
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = sections.findIndex((section) => !section.hidden);
    choose(place, sections[(at + step + sections.length) % sections.length], true);
  });
  place.prepend(list);
  place.dataset.tabs = "made";
  const kept = localStorage.getItem(KEPT);
  choose(place, sections.find((section) => section.id === kept) ?? sections[0], false);
}

export function makeTabs() {
  for (const place of document.querySelectorAll('[data-tabs=""]')) make(place);
}
