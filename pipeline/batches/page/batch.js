"use strict";
// Shows the batch that stands beside this script as JSON, and collects what a person says of its
// views. Every text of it is put into the page as text; nothing here makes HTML out of a string.

(() => {
  const batch = JSON.parse(document.getElementById("batch").textContent);
  const STORE = `ryla-review:${batch.name}:${batch.created_at}`;
  const FILE = `${batch.name}-review.json`;
  const COMMAND = `ryla sheets review ${batch.name} --from ${FILE}`;
  const MAX_NOTE = 500;

  // ---------------------------------------------------------------- making elements

  function el(tag, fields = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "class") made.className = value;
      else if (name === "text") made.textContent = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : String(value));
    }
    made.append(...children.filter((each) => each !== undefined && each !== null));
    return made;
  }

  // Somebody's words, whatever their direction: they cannot turn round what stands beside them.
  const words = (text, className) => el("bdi", { class: className, text });
  const usd = (value) => (value === undefined || value === null ? "–" : value === 0 ? "$0" : `$${value.toFixed(value >= 10 ? 2 : 4)}`);
  const figure = (value) => (value === undefined || value === null ? "–" : value.toFixed(2));
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // ---------------------------------------------------------------- what was said

  // Job → view → {verdict, note}; a verdict of null makes the view unreviewed again. Only what
  // differs from the bucket as this page was made.
  const marks = new Map();
  let kept = true; // whether this browser keeps them

  function load() {
    const views = new Map(batch.sheets.map((sheet) => [sheet.job, new Map(sheet.views.map((view) => [view.id, view]))]));
    let found = {};
    try {
      found = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    } catch {
      kept = false;
    }
    for (const [job, of] of Object.entries(found ?? {})) {
      for (const [id, mark] of Object.entries(of ?? {})) {
        const view = views.get(job)?.get(id);
        if (view && mark && (mark.verdict === null || view.may.includes(mark.verdict))) {
          setMark(job, view, mark.verdict, String(mark.note ?? "").slice(0, MAX_NOTE));
        }
      }
    }
  }

  function setMark(job, view, verdict, note) {
    const of = marks.get(job) ?? new Map();
    const same = verdict === (view.verdict ?? null) && (verdict === null || note === (view.note ?? ""));
    if (same) of.delete(view.id);
    else of.set(view.id, { verdict, note: verdict === null ? "" : note });
    if (of.size) marks.set(job, of);
    else marks.delete(job);
  }

  const plain = () => Object.fromEntries([...marks].map(([job, of]) => [job, Object.fromEntries(of)]));

  function save() {
    try {
      localStorage.setItem(STORE, JSON.stringify(plain()));
    } catch {
      kept = false;
    }
  }

  function said(sheet, view) {
    const mark = marks.get(sheet.job)?.get(view.id);
    if (mark) return { verdict: mark.verdict, note: mark.note, fresh: true };
    return { verdict: view.verdict ?? null, note: view.note ?? "", fresh: false };
  }

  const freshCount = () => [...marks.values()].reduce((sum, of) => sum + of.size, 0);

  function exported() {
    const reviews = [...marks].map(([job, of]) => [
      job,
      Object.fromEntries([...of].map(([id, mark]) => [id, mark.verdict === null ? null : { verdict: mark.verdict, note: mark.note }])),
    ]);
    return { version: 1, batch: batch.name, made_at: batch.made_at, reviews: Object.fromEntries(reviews) };
  }

  // ---------------------------------------------------------------- sheets

  const sheets = batch.sheets.map((sheet, index) => ({ ...sheet, index }));
  const cells = []; // of each sheet, its views' buttons
  let shown = []; // sheets that pass the filter, in order
  let place = { sheet: null, view: 0 };

  const reviewable = (view) => view.may.length > 0;
  const tally = (sheet) => {
    const sum = { keep: 0, reject: 0, open: 0, missing: 0 };
    for (const view of sheet.views) {
      const verdict = said(sheet, view).verdict;
      if (verdict) sum[verdict] += 1;
      else if (view.state === "made" && reviewable(view)) sum.open += 1;
      if (view.state === "missing") sum.missing += 1;
    }
    return sum;
  };

  const GOOD = new Set(["succeeded"]);
  const BAD = new Set(["failed", "rejected", "cancelled"]);

  function badge(text, tone) {
    return el("span", { class: `badge ${tone ?? ""}`, text });
  }

  function card(sheet) {
    const state = badge(sheet.state, GOOD.has(sheet.state) ? "good" : BAD.has(sheet.state) ? "bad" : "");
    const trains = sheet.trainable === undefined ? null : badge(sheet.trainable ? "trainable" : "not trainable", sheet.trainable ? "good" : "bad");
    const figures = [
      `worst match ${figure(sheet.worst)}`,
      `mean ${figure(sheet.mean)}`,
      plural(sheet.tries, "try").replace("trys", "tries"),
      usd(sheet.usd),
    ];
    const origin = sheet.own ? el("p", { class: "soft" }, "redo of ", el("code", { text: sheet.own })) : null;
    const redo = sheet.redo ? el("p", { class: "soft" }, "redo under way: ", el("code", { text: sheet.redo })) : null;
    const why = sheet.because ? el("p", { class: "why" }, words(sheet.because)) : null;
    const wanting = sheet.wanting?.length ? el("p", { class: "soft" }, "wants ", words(sheet.wanting.join(", "))) : null;
    const error = sheet.error ? el("p", { class: "bad" }, words(sheet.error)) : null;
    const problem = sheet.problem ? el("p", { class: "bad" }, words(sheet.problem)) : null;
    cells[sheet.index] = sheet.views.map((view, at) => cell(sheet, view, at));
    return el(
      "article",
      { class: "sheet", id: `sheet-${sheet.index}`, "aria-label": `row ${sheet.row}` },
      el(
        "div",
        { class: "about" },
        el("h2", {}, words(sheet.character)),
        el("p", { class: "job" }, el("code", { text: sheet.job })),
        el("p", { class: "badges" }, state, trains, el("span", { class: "badge tally" })),
        el("p", { class: "figures", text: figures.join(" · ") }),
        origin, redo, error, problem, why, wanting,
      ),
      el("ol", { class: "views" }, ...cells[sheet.index].map((each) => el("li", {}, each))),
    );
  }

  const number = (view) => String(view.n).padStart(2, "0");
  const score = (view) => (view.match !== undefined && view.match !== null ? view.match.toFixed(2) : (view.why ?? ""));

  function cell(sheet, view, at) {
    const made = el(
      "button",
      { type: "button", class: `view ${view.state === "made" ? "" : "lacking"}`, tabindex: -1, onclick: () => go(sheet, at) },
      el("span", { class: "frame" }, el("span", { class: "said" }), el("span", { class: "none", text: view.state === "made" ? "" : view.state })),
      el("span", { class: "caption" }, el("span", { class: "name" }, `${number(view)} `, words(view.id)), el("span", { class: "score" }, words(score(view)))),
      view.fault ? el("span", { class: "fault" }, words(view.fault)) : null,
      view.origin ? el("span", { class: "soft fault", text: "reused" }) : null,
    );
    return made;
  }

  // Signs beside colours: not everybody tells the colours apart.
  const SIGNS = { keep: "✓ keep", reject: "✗ reject" };

  function paint(sheet) {
    sheet.views.forEach((view, at) => {
      const { verdict, note, fresh } = said(sheet, view);
      const button = cells[sheet.index][at];
      button.dataset.verdict = verdict ?? "none";
      button.dataset.fresh = fresh;
      button.querySelector(".said").textContent = verdict ? SIGNS[verdict] + (note ? " ✎" : "") : note ? "✎" : "";
      button.setAttribute("aria-label", `view ${number(view)} ${view.id}, ${view.fault ?? view.state}, match ${score(view)}, ${verdict ?? "unreviewed"}`);
    });
    const sum = tally(sheet);
    const parts = [sum.keep && `${sum.keep} kept`, sum.reject && `${sum.reject} rejected`, sum.open && `${sum.open} unreviewed`, sum.missing && `${sum.missing} missing`];
    const line = document.querySelector(`#sheet-${sheet.index} .tally`);
    line.textContent = parts.filter(Boolean).join(", ");
    line.hidden = !line.textContent;
  }

  // Pictures are decoded when their sheet comes near: a batch has thousands.
  function fill(sheet) {
    const block = document.getElementById(`pictures-${sheet.index}`);
    if (!block || sheet.pictures) return;
    sheet.pictures = JSON.parse(block.textContent);
    sheet.views.forEach((view, at) => {
      const picture = sheet.pictures[at];
      const frame = cells[sheet.index][at].querySelector(".frame");
      if (picture?.webp) {
        frame.prepend(el("img", { alt: "", decoding: "async", src: `data:image/webp;base64,${picture.webp}` }));
      } else if (picture?.problem) {
        frame.querySelector(".none").textContent = picture.problem;
      }
    });
  }

  // ---------------------------------------------------------------- order and filter

  const least = (a, b) => (a === undefined || a === null ? (b === undefined || b === null ? 0 : 1) : b === undefined || b === null ? -1 : a - b);
  const ORDERS = {
    row: ["row of the file", (a, b) => a.row - b.row],
    worst: ["worst match first", (a, b) => least(a.worst, b.worst)],
    character: ["character", (a, b) => a.character.localeCompare(b.character)],
    verdict: ["verdict, not trainable first", (a, b) => rank(a) - rank(b)],
    unreviewed: ["most unreviewed first", (a, b) => tally(b).open - tally(a).open],
    rejected: ["most rejected first", (a, b) => tally(b).reject - tally(a).reject],
    missing: ["most missing first", (a, b) => tally(b).missing - tally(a).missing],
    cost: ["cost, dearest first", (a, b) => least(b.usd, a.usd)],
  };
  const rank = (sheet) => (sheet.trainable === undefined ? 2 : sheet.trainable ? 1 : 0);
  const VERDICTS = {
    all: ["any", () => true],
    trainable: ["trainable", (sheet) => sheet.trainable === true],
    not: ["not trainable", (sheet) => sheet.trainable === false],
    none: ["not judged", (sheet) => sheet.trainable === undefined],
  };
  const TOGGLES = {
    unreviewed: ["unreviewed", (sheet) => tally(sheet).open > 0],
    rejected: ["rejected", (sheet) => tally(sheet).reject > 0],
    missing: ["missing", (sheet) => tally(sheet).missing > 0],
    failed: ["failed", (sheet) => BAD.has(sheet.state)],
  };

  const chosen = (table, id, label) =>
    el("label", {}, el("span", { text: label }), el("select", { id, onchange: arrange }, ...Object.entries(table).map(([value, [text]]) => el("option", { value, text }))));

  const search = el("input", { id: "search", type: "search", placeholder: "character or job", oninput: arrange });
  const most = el("input", { id: "most", type: "number", min: 0, max: 1, step: 0.01, placeholder: "1.00", oninput: arrange });
  const order = chosen(ORDERS, "order", "Order");
  const verdict = chosen(VERDICTS, "verdict", "Verdict");
  const toggles = Object.entries(TOGGLES).map(([value, [text]]) =>
    el("button", { type: "button", class: "toggle", "data-value": value, "aria-pressed": "false", text, onclick: (event) => {
      const pressed = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", pressed);
      arrange();
    } }),
  );
  const count = el("p", { id: "count", "aria-live": "polite" });
  const list = el("section", { id: "sheets" });

  // Only when a control changes: what is reviewed stays where it is until then.
  function arrange() {
    const text = search.value.trim().toLowerCase();
    const limit = most.value === "" ? null : Number(most.value);
    const pressed = toggles.filter((each) => each.getAttribute("aria-pressed") === "true").map((each) => TOGGLES[each.dataset.value][1]);
    const passes = (sheet) =>
      (!text || sheet.character.toLowerCase().includes(text) || sheet.job.includes(text)) &&
      (limit === null || (typeof sheet.worst === "number" && sheet.worst <= limit)) &&
      VERDICTS[verdict.lastChild.value][1](sheet) &&
      pressed.every((test) => test(sheet));
    const ordered = [...sheets].sort((a, b) => ORDERS[order.lastChild.value][1](a, b) || a.index - b.index);
    shown = ordered.filter(passes);
    const seen = new Set(shown);
    for (const sheet of ordered) {
      sheet.card.hidden = !seen.has(sheet);
      list.append(sheet.card);
    }
    count.textContent = `${shown.length} of ${plural(sheets.length, "sheet")}`;
    if (!seen.has(place.sheet)) put(shown[0] ?? null, 0);
  }

  // ---------------------------------------------------------------- moving

  function put(sheet, at) {
    if (place.sheet) {
      const before = cells[place.sheet.index][place.view];
      before?.setAttribute("tabindex", -1);
      before?.removeAttribute("aria-current");
    }
    place = { sheet, view: at };
    const now = sheet && cells[sheet.index][at];
    now?.setAttribute("tabindex", 0);
    now?.setAttribute("aria-current", "true");
    describe();
    return now;
  }

  function go(sheet, at) {
    const button = put(sheet, at);
    if (!button) return;
    fill(sheet);
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const spot = shown.indexOf(place.sheet);
    if (spot < 0) return;
    let at = place.view + by;
    let row = spot;
    while (row >= 0 && row < shown.length && (at < 0 || at >= shown[row].views.length)) {
      row += by;
      if (row < 0 || row >= shown.length) return;
      at = by > 0 ? 0 : shown[row].views.length - 1;
    }
    go(shown[row], at);
  }

  function leap(by) {
    const row = shown.indexOf(place.sheet) + by;
    if (row < 0 || row >= shown.length) return;
    go(shown[row], Math.max(0, Math.min(place.view, shown[row].views.length - 1)));
  }

  const current = () => (place.sheet ? place.sheet.views[place.view] : undefined);

  // ---------------------------------------------------------------- saying

  function say(verdict, note) {
    const view = current();
    if (!view || !view.may.includes(verdict)) return false;
    const before = said(place.sheet, view);
    const text = note ?? (before.verdict === verdict ? before.note : "");
    setMark(place.sheet.job, view, verdict, text.slice(0, MAX_NOTE));
    changed();
    return true;
  }

  function clear() {
    const view = current();
    if (!view || !reviewable(view)) return;
    setMark(place.sheet.job, view, null, "");
    changed();
  }

  function changed() {
    save();
    paint(place.sheet);
    describe();
    sumUp();
  }

  const judge = (verdict) => say(verdict) && step(1);

  // ---------------------------------------------------------------- the dock: the current view

  const told = el("div", { id: "told" });
  const action = (id, text, key, run) => el("button", { type: "button", id, class: "action", "aria-keyshortcuts": key, onclick: run }, text, el("kbd", { text: key }));
  const buttons = {
    back: action("back", "‹", "k", () => step(-1)),
    keep: action("keep", "Keep", "y", () => judge("keep")),
    reject: action("reject", "Reject", "n", () => judge("reject")),
    clear: action("clear", "Clear", "u", clear),
    note: action("note", "Note", "m", () => writeNote()),
    next: action("next", "›", "j", () => step(1)),
  };
  buttons.back.setAttribute("aria-label", "previous view");
  buttons.next.setAttribute("aria-label", "next view");
  const dock = el("div", { id: "dock", role: "toolbar", "aria-label": "the chosen view" }, told, el("div", { class: "actions" }, ...Object.values(buttons)));

  function describe() {
    const view = current();
    dock.hidden = !view;
    if (!view) return;
    const { verdict, note } = said(place.sheet, view);
    const link = place.sheet.pictures?.[place.view]?.link;
    const parts = [
      `match ${score(view) || "–"}`,
      `similarity ${figure(view.similarity)}`,
      plural(view.tries, "try").replace("trys", "tries"),
      usd(view.usd),
    ];
    told.replaceChildren(
      el("p", { class: "title" }, words(place.sheet.character), ` ${number(view)} `, words(view.id), " ", verdict ? badge(SIGNS[verdict], verdict === "keep" ? "good" : "bad") : null,
        link ? el("a", { id: "full", href: link, target: "_blank", rel: "noopener noreferrer", text: "full size" }) : null),
      el("p", { class: "soft", text: parts.join(" · ") }),
    );
    if (view.fault) told.append(el("p", { class: "bad" }, words(view.fault)));
    if (view.origin) told.append(el("p", { class: "soft" }, "reused of ", el("code", { text: view.origin })));
    if (note) told.append(el("p", { class: "note" }, words(note)));
    buttons.keep.disabled = !view.may.includes("keep");
    buttons.reject.disabled = !view.may.includes("reject");
    buttons.clear.disabled = !verdict;
    buttons.note.disabled = !reviewable(view);
  }

  // ---------------------------------------------------------------- dialogs

  const noteText = el("textarea", { id: "note-text", maxlength: MAX_NOTE, rows: 4, "aria-label": "note", dir: "auto" });
  const noteDialog = el("dialog", { id: "note-dialog" },
    el("h2", { text: "Note" }),
    el("p", { class: "soft", text: "It goes with the verdict. Without one, the view is rejected with it." }),
    noteText,
    el("div", { class: "actions" },
      el("button", { type: "button", class: "action", id: "note-save", onclick: keepNote }, "Save", el("kbd", { text: "Ctrl ⏎" })),
      el("button", { type: "button", class: "action", onclick: () => noteDialog.close(), text: "Cancel" })));

  function writeNote() {
    const view = current();
    if (!view || !reviewable(view)) return;
    noteText.value = said(place.sheet, view).note;
    noteDialog.showModal();
    noteText.focus();
  }

  function keepNote() {
    const view = current();
    const before = said(place.sheet, view).verdict;
    say(before ?? (view.may.includes("reject") ? "reject" : "keep"), noteText.value.trim());
    noteDialog.close();
    go(place.sheet, place.view);
  }

  const KEYS = [
    ["→ j", "next view"], ["← k", "previous view"], ["↓ ↑", "next and previous sheet"],
    ["y", "keep, and go on"], ["n", "reject, and go on"], ["u", "unreviewed again"],
    ["m", "write a note"], ["o", "full size, where there is a link"], ["s", "save the verdicts"], ["/", "search"], ["?", "this"],
  ];
  const help = el("dialog", { id: "help" },
    el("h2", { text: "Keys" }),
    el("dl", { class: "keys" }, ...KEYS.flatMap(([keys, what]) => [el("dt", {}, ...keys.split(" ").map((key) => el("kbd", { text: key }))), el("dd", { text: what })])),
    el("p", { class: "soft", text: "Verdicts stay in this browser until they are saved as a file. Then put them into the bucket:" }),
    el("p", {}, el("code", { text: COMMAND })),
    el("div", { class: "actions" }, el("button", { type: "button", class: "action", onclick: () => help.close(), text: "Close" })));

  // ---------------------------------------------------------------- giving it out

  const fresh = el("p", { id: "fresh", "aria-live": "polite" });
  const download = el("button", { type: "button", id: "download", class: "action main", text: "Save verdicts", onclick: () => {
    const url = URL.createObjectURL(new Blob([`${JSON.stringify(exported(), null, 1)}\n`], { type: "application/json" }));
    el("a", { href: url, download: FILE }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } });
  const command = el("p", { id: "command" }, "then ", el("code", { text: COMMAND }));

  function sumUp() {
    const number = freshCount();
    fresh.textContent = number ? `${plural(number, "new verdict")}${kept ? "" : ", which this browser will not keep"}` : "nothing new";
    download.disabled = number === 0;
    command.hidden = number === 0;
  }

  // ---------------------------------------------------------------- the page

  function facts() {
    const sums = batch.totals;
    const rows = [
      ["sheets", Object.entries(sums.by_state).map(([state, n]) => `${n} ${state}`).join(", ")],
      ["views", `${sums.views_made} made, ${sums.views_missing} missing`],
      ["cost so far", usd(sums.usd)],
      ["estimated for the rest", usd(sums.remaining_usd)],
      ["estimate, budget", `${usd(batch.estimate_usd)}, ${usd(batch.budget_usd)}`],
      ["page made", batch.made_at.replace("T", " ").replace("+00:00", " UTC").replace(/Z$/, " UTC")],
    ];
    return el("dl", { class: "facts" }, ...rows.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  }

  // What keeps sheets waiting, as this page was made.
  function heldUp() {
    if (!batch.why_wait.length) return null;
    const wait = `${plural(batch.waiting, "sheet")} ${batch.waiting === 1 ? "waits" : "wait"}:`;
    const lines = batch.why_wait.map((why) => el("li", {}, words(why)));
    return el("div", { class: "notice held-up", role: "status" }, el("p", { text: wait }), el("ul", {}, ...lines));
  }

  function build() {
    load();
    for (const sheet of sheets) sheet.card = card(sheet);
    list.append(...sheets.map((sheet) => sheet.card));
    document.getElementById("page").replaceChildren(
      el("header", {}, el("p", { class: "eyebrow", text: `Batch of ${batch.tenant}` }), el("h1", { text: batch.name }), facts(), heldUp()),
      el("div", { id: "bar" },
        el("div", { class: "controls" },
          el("label", { class: "wide" }, el("span", { text: "Search" }), search), order, verdict,
          el("label", {}, el("span", { text: "Worst match at most" }), most)),
        el("div", { class: "controls" }, ...toggles, count, el("button", { type: "button", class: "toggle", id: "keys", onclick: () => help.showModal(), text: "Keys ?" })),
      ),
      el("div", { id: "give" }, fresh, download, command),
      list,
      el("footer", { text: "This page loads nothing from anywhere." }),
    );
    document.body.append(dock, noteDialog, help);
    for (const sheet of sheets) paint(sheet);
    arrange();
    sumUp();
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        fill(sheets[Number(entry.target.id.slice("sheet-".length))]);
        describe();
      }
    }, { rootMargin: "1000px 0px" });
    for (const sheet of sheets) near.observe(sheet.card);
    document.addEventListener("keydown", pressed);
  }

  const MOVES = {
    ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1),
    ArrowDown: () => leap(1), ArrowUp: () => leap(-1),
    y: () => judge("keep"), n: () => judge("reject"), u: clear, m: writeNote,
    o: () => document.getElementById("full")?.click(),
    s: () => download.click(),
    "/": () => search.focus(), "?": () => help.showModal(),
  };

  function pressed(event) {
    if (noteDialog.open && event.key === "Enter" && (event.ctrlKey || event.metaKey)) keepNote();
    if (event.ctrlKey || event.metaKey || event.altKey || noteDialog.open || help.open) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing && event.key === "Escape") go(place.sheet, place.view);
    if (typing || !Object.hasOwn(MOVES, event.key)) return;
    event.preventDefault();
    MOVES[event.key]();
  }

  build();
})();
