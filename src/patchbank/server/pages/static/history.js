/** Times in the zone of this browser: the page asks for it once, and its links keep it. */

const { zone = "", offsets = "" } = document.body.dataset;
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
const year = new Date().getFullYear();
const here = [0, 6].map((month) => -new Date(year, month, 1).getTimezoneOffset()).join(" ");

if (!zone && own && here !== offsets) {
  const address = new URL(location.href);
  address.searchParams.set("zone", own);
  location.replace(address);
}
