// Before anything is drawn: tell the style that there are scripts, and set the theme chosen before.
"use strict";
document.documentElement.dataset.scripted = "";
try {
  const theme = localStorage.getItem("orq-otel-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the theme is that of the system.
}
