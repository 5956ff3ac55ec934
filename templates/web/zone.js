// The time zone that the browser reports, where the reader has chosen none. Without this file the page asks.
const field = document.querySelector("select[name=zone]");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (field && !field.value && [...field.options].some((one) => one.value === zone)) field.value = zone;
