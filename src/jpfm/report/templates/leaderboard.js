
(function () {
  "use strict";
  var root = document.documentElement;
  var toggle = document.getElementById("toggle");
  function split() {
    var match = /^#(ja|en)(?:\.(.+))?$/.exec(location.hash);
    return match ? { lang: match[1], place: match[2] || "" } : { lang: "", place: location.hash.slice(1) };
  }
  function show(lang, place) {
    var hash = "#" + lang + (place ? "." + place : "");
    root.lang = lang;
    document.title = document.querySelector("h1 ." + lang).textContent;
    toggle.href = "#" + (lang === "ja" ? "en" : "ja");
    if (location.hash !== hash && (lang === "en" || location.hash)) { history.replaceState(null, "", hash); }
  }
  function follow() {
    var now = split();
    var target = now.lang && now.place ? document.getElementById(now.place) : null;
    show(now.lang || root.lang, now.place);
    if (target) { target.scrollIntoView(); }
  }
  toggle.addEventListener("click", function (event) {
    event.preventDefault();
    show(root.lang === "ja" ? "en" : "ja", split().place);
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
