// Before the first paint: the choice of this browser, if it made one. The system's holds otherwise.
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
