// A new form begins with the time zone of the reader.
const zone = document.getElementById("timezone");
if (zone?.value === "UTC") zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
