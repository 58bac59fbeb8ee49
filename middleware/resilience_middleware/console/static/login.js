// A link from another site brings no cookie along (SameSite=Strict), although this browser may have logged in: ask again from here.
"use strict";
fetch("state.json", { credentials: "same-origin" }).then((answer) => {
  if (answer.ok && !location.pathname.endsWith("/login")) location.replace(location.href);
});
