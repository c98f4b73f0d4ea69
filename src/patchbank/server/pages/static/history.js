/** Times in the zone of this browser: the page asks for it once, and its links keep it. */

const { zone = "", offsets = "" } = document.body.dataset;
const year = new Date().getFullYear();
const here = [0, 6].map((month) => -new Date(year, month, 1).getTimezoneOffset()).join(" ");

if (!zone && here !== offsets) {
  // Asked for last: the first use of Intl takes a browser longer than the rest of the page's scripts.
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const address = new URL(location.href);
  if (own) {
    address.searchParams.set("zone", own);
    location.replace(address);
  }
}
