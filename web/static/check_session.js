// Answers applications that ask from their own frame whether the session is
// still the one they know (OpenID Connect Session Management section 3.2). It
// hashes by itself, for browsers without WebCrypto, and keeps to old syntax.
(function () {
  "use strict";

  // The first 32 bits of the fractional parts of square and cube roots of the
  // first primes (FIPS 180-4 sections 4.2.2 and 5.3.3).
  var start = [], rounds = [];
  (function () {
    function fraction(x) { return ((x - Math.floor(x)) * 0x100000000) | 0; }
    for (var n = 2; rounds.length < 64; n++) {
      var prime = true;
      for (var d = 2; d * d <= n; d++) {
        if (n % d === 0) { prime = false; break; }
      }
      if (!prime) continue;
      if (start.length < 8) start.push(fraction(Math.pow(n, 1 / 2)));
      rounds.push(fraction(Math.pow(n, 1 / 3)));
    }
  })();

  function rotate(x, n) { return (x >>> n) | (x << (32 - n)); }

  // sha256 returns the hash of a text's UTF-8 in hexadecimal digits.
  function sha256(text) {
    var bytes = unescape(encodeURIComponent(text));
    var words = [], i, t;
    for (i = 0; i < bytes.length; i++) words[i >> 2] |= bytes.charCodeAt(i) << (24 - 8 * (i % 4));
    words[bytes.length >> 2] |= 0x80 << (24 - 8 * (bytes.length % 4));
    var last = (((bytes.length + 8) >> 6) << 4) + 15;
    words[last] = bytes.length * 8;
    var h = start.slice(0);
    for (i = 0; i <= last; i += 16) {
      var w = [], s = h.slice(0);
      for (t = 0; t < 64; t++) {
        if (t < 16) {
          w[t] = words[i + t] | 0;
        } else {
          var a = w[t - 15], b = w[t - 2];
          w[t] = (w[t - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3)) + w[t - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10))) | 0;
        }
        var one = (s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + rounds[t] + w[t]) | 0;
        var two = ((rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]))) | 0;
        s = [(one + two) | 0, s[0], s[1], s[2], (s[3] + one) | 0, s[4], s[5], s[6]];
      }
      for (t = 0; t < 8; t++) h[t] = (h[t] + s[t]) | 0;
    }
    var hex = "";
    for (t = 0; t < 8; t++) hex += ("0000000" + (h[t] >>> 0).toString(16)).slice(-8);
    return hex;
  }

  // browserState reads the cookie; empty where browsers keep it from frames.
  function browserState() {
    var name = document.documentElement.getAttribute("data-cookie") + "=";
    var all = document.cookie.split(";");
    for (var i = 0; i < all.length; i++) {
      var cookie = all[i].replace(/^\s+/, "");
      if (cookie.indexOf(name) === 0) return cookie.slice(name.length);
    }
    return "";
  }

  window.addEventListener("message", function (e) {
    if (!e.source || e.source === window || !e.origin || e.origin === "null") return;
    var asked = typeof e.data === "string" ? /^([^ ]+) ([0-9a-f]{64})\.([0-9a-f]+)$/.exec(e.data) : null;
    var answer = "error";
    var state = browserState();
    if (asked && state) {
      answer = sha256(asked[1] + " " + e.origin + " " + state + " " + asked[3]) === asked[2] ? "unchanged" : "changed";
    }
    e.source.postMessage(answer, e.origin);
  });
})();
