// Values at the pointer or by the arrow keys, and the reader's own time. A page is complete without this script.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const two = (number) => String(number).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  // The same forms as in moment.rs.
  function written(seconds, form, isLocal) {
    const at = new Date(seconds * 1000);
    const of = (part) => at[(isLocal ? "get" : "getUTC") + part]();
    const time = `${two(of("Hours"))}:${two(of("Minutes"))}`;
    const date = `${of("Date")} ${months[of("Month")]}`;
    switch (form) {
      case "s": return `${time}:${two(of("Seconds"))}`;
      case "m": return time === "00:00" ? date : time;
      case "d": return date;
      default: return `${of("FullYear")}-${two(of("Month") + 1)}-${two(of("Date"))} ${time}:${two(of("Seconds"))}`;
    }
  }

  const clock = document.getElementById("clock");
  if (clock) {
    const zone = document.getElementById("zone");
    let isLocal = false;
    clock.hidden = false;
    clock.addEventListener("click", () => {
      isLocal = !isLocal;
      zone.textContent = isLocal ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";
      clock.textContent = isLocal ? "Show UTC" : "Show local time";
      for (const element of document.querySelectorAll("[data-t]")) {
        const form = element.dataset.f || element.closest("[data-f]")?.dataset.f;
        element.textContent = written(Number(element.dataset.t), form, isLocal);
      }
    });
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  for (const area of document.querySelectorAll(".area")) {
    const table = area.closest("figure").querySelector("table");
    const places = area.dataset.xs.split(" ").map(Number);
    const rows = table.tBodies[0].rows;
    if (!rows.length) continue;
    const heads = table.tHead.rows[0].cells;
    const tip = element("div", "", "tip");
    tip.hidden = true;
    area.append(tip);
    const cursor = document.createElementNS(SVG, "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("y1", "0");
    cursor.setAttribute("y2", "100%");
    let shown = -1;

    function show(index) {
      shown = Math.max(0, Math.min(rows.length - 1, index));
      const cells = rows[shown].cells;
      tip.replaceChildren(element("b", cells[0].textContent));
      for (let column = 1; column < cells.length; column += 1) {
        if (cells[column].textContent === "–") continue;
        const row = element("div");
        const name = element("span", "");
        name.append(element("i", "", heads[column].dataset.c), heads[column].textContent);
        row.append(name, element("span", cells[column].textContent));
        tip.append(row);
      }
      const place = places[shown] / 10;
      cursor.setAttribute("x1", `${place}%`);
      cursor.setAttribute("x2", `${place}%`);
      area.firstElementChild.append(cursor);
      tip.hidden = false;
      const left = (area.clientWidth * place) / 100;
      const beside = left + 12 + tip.offsetWidth <= area.clientWidth ? left + 12 : left - 12 - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(area.clientWidth - tip.offsetWidth, beside))}px`;
    }
    function hide() {
      tip.hidden = true;
      cursor.remove();
    }
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * 1000;
      let nearest = 0;
      places.forEach((other, index) => {
        if (Math.abs(other - place) < Math.abs(places[nearest] - place)) nearest = index;
      });
      show(nearest);
    });
    area.addEventListener("pointerleave", hide);
    area.tabIndex = 0;
    area.setAttribute("role", "group");
    area.setAttribute("aria-label", `${area.dataset.title}: the arrow keys read the values`);
    tip.setAttribute("aria-live", "polite");
    area.addEventListener("focus", () => show(shown < 0 ? rows.length - 1 : shown));
    area.addEventListener("blur", hide);
    area.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: rows.length - 1 }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }
})();
