// Goes back to the application once the others were told, or when one of them
// takes too long. The page has a link for browsers without scripts.
(function () {
  "use strict";
  var gone = false;
  function goOn() {
    var link = document.getElementById("logout-continue");
    if (gone || !link) return;
    gone = true;
    window.location.replace(link.href);
  }
  window.addEventListener("load", goOn);
  window.setTimeout(goOn, 4000);
})();
