
(function () {
  "use strict";
  var seconds = Number(document.body.dataset.reload);
  var details = Array.prototype.slice.call(document.querySelectorAll("details"));
  var kept = history.state || {};
  if (kept.scale) { document.getElementById(kept.scale).checked = true; }
  (kept.open || []).forEach(function (place) { if (details[place]) { details[place].open = true; } });
  if (kept.top !== undefined) { scrollTo(0, kept.top); }
  if (!seconds) { return; }
  setTimeout(function () {
    var chosen = document.querySelector("input[name=scale]:checked");
    var open = details.map(function (one, place) { return one.open ? place : -1; });
    history.replaceState({
      scale: chosen && chosen.id, top: scrollY, open: open.filter(function (place) { return place >= 0; })
    }, "");
    location.reload();
  }, seconds * 1000);
})();
