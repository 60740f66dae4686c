// Tables and code that scroll can be reached by the keyboard.
document.addEventListener("DOMContentLoaded", () => setTimeout(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code, .highlight-ipynb, .jp-OutputArea-output pre")) box.tabIndex = 0;
}, 300));
