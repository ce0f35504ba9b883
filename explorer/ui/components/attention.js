// Attention, in five views of one selection. Python sends the weights once; all that follows happens here.
// This file holds data, selection, toolbar and colours; each of its neighbours adds views to VIEWS.
// What is clicked is reported to Python as state `selection`; what is hovered is nobody's business.

const VIEWS = {} // name → { title, about, make(ui) → node, draw(ui, node), paint(ui, node, aim), step(ui, dx, dy) }
const FIRST = 1 // number of the first layer and the first head on screen
const DRAWN = 128 // tokens on a side that are drawn at once
const FILTERS = [["all", "All"], ["00", "A→A"], ["01", "A→B"], ["10", "B→A"], ["11", "B→B"]] // query → key
const SIDES = { a: ["A", "The first input"], b: ["B", "The second input"], gap: ["B − A", "Blue: less in B; orange: more"] }
const HINTS = {
    grid: "Hover to enlarge a head, click to open it.",
    heads: "Hover a token to see its links alone; click to hold it, Esc lets go. Arrow keys move.",
    matrix: "Hover to read one weight; click holds the query of that row, Esc lets go. Arrow keys move.",
    arithmetic: "Hover a key for its sum in full; click to hold it. Arrow keys move.",
    image: "Hover a patch to see where it looks; click to hold it, Esc lets go. Arrow keys move.",
}
const NAMES = { self: "Self", encoder: "Encoder", decoder: "Decoder", cross: "Cross" }
const USUAL_OPTIONS = { mass: 75, filter: "all", plain: false, side: "a", depth: 1, queryStart: 0, keyStart: 0, opened: false }

const mounted = new WeakMap() // the place on the page → what is drawn there
const remembered = new Map() // key → selection and options, which outlive a remount

export default function attention({ data, parentElement, setStateValue }) {
    const ui = mounted.get(parentElement) ?? mount(parentElement)
    const turn = (ui.turn = (ui.turn ?? 0) + 1)
    ui.report = () => setStateValue("selection", { seed: ui.kept.seed, ...ui.kept.selection })
    ui.askWindow = starts => setStateValue("window", starts)
    take(ui, data)
    return () => turn === ui.turn && unmount(ui)
}

function mount(place) {
    const root = element("div", "attention")
    root.innerHTML = `
        <div class="toolbar" role="group" aria-label="What is shown"></div>
        <div class="chips" role="group" aria-label="Heads"></div>
        <div class="toolbar options" role="group" aria-label="How it is shown"></div>
        <div class="headline"></div>
        <div class="stage"></div>
        <p class="hint"></p>
        <div class="unseen" aria-live="polite"></div>
        <div class="tip" hidden></div>`
    const [bar, chips, options, headline, stage, hint, told, tip] = root.children
    const ui = { place, root, bar, chips, options, headline, stage, hint, told, tip, nodes: {}, hover: null, frame: 0 }
    ui.resized = new ResizeObserver(() => { if (root.clientWidth !== ui.width) redraw(ui) })
    ui.resized.observe(root)
    ui.themed = new MutationObserver(() => { ui.inks = null; redraw(ui) })
    const around = place.host?.parentElement ?? place.parentElement
    if (around) ui.themed.observe(around, { attributes: true }) // Streamlit renames its class as the theme changes
    root.addEventListener("keydown", event => steer(ui, event))
    place.append(root)
    mounted.set(place, ui)
    return ui
}

function unmount(ui) {
    ui.resized.disconnect()
    ui.themed.disconnect()
    cancelAnimationFrame(ui.frame)
    ui.root.remove()
    mounted.delete(ui.place)
}

// ---- data ----

function take(ui, data) {
    if (ui.kept?.seed !== data.seed.id) {
        const before = remembered.get(data.key)
        const fresh = () => ({ seed: data.seed.id, selection: data.seed.selection, options: { ...(before ?? ui.kept)?.options ?? USUAL_OPTIONS } })
        ui.kept = before?.seed === data.seed.id ? before : fresh()
        remembered.set(data.key, ui.kept)
    }
    ui.root.style.setProperty("--tall", `${data.height}px`)
    if (ui.print !== data.print) {
        ui.print = data.print
        ui.data = data
        ui.sides = data.sides.map(parts => parts.map(decodePart))
        ui.rows = new Map()
        ui.picture = ui.hover = null
        const shape = JSON.stringify([data.views, ui.sides[0].map(part => [part.name, part.layers, part.heads]), ui.sides.length, data.roles])
        if (ui.shape !== shape) ui.nodes = {}
        ui.shape = shape
        ui.inks = null // the ends of the scales are the data's
        fillToolbar(ui)
    }
    ui.kept.selection = fitSelection(ui, ui.kept.selection)
    redraw(ui)
}

function fitSelection(ui, selection) { // as `fit` in Python
    const part = ui.sides[0].find(part => part.name === selection.part) ?? ui.sides[0][0]
    const heads = selection.heads.filter(head => head < part.heads)
    return {
        view: ui.data.views.includes(selection.view) ? selection.view : ui.data.views[0],
        part: part.name,
        layer: Math.min(selection.layer, part.layers - 1),
        heads: heads.length ? heads : [0],
        token: selection.token !== null && selection.token < part.queries.length ? selection.token : null,
        key: selection.key !== null && selection.key < part.keys.length ? selection.key : null,
    }
}

function decodePart(sent) {
    const part = { ...sent }
    part.special = sent.special.map(list => new Set(list))
    part.sums = sent.sums && decodeFloats(sent.sums)
    part.values = sent.codes && decodeWeights(sent.codes, sent.most)
    part.thumbs = sent.thumbs && decodeWeights(sent.thumbs, 255)
    if (sent.detail?.query) {
        const floats = name => sent.detail[name] && decodeFloats(sent.detail[name])
        part.detail = { ...sent.detail, query: floats("query"), key: floats("key"), value: floats("value"),
            norms: floats("norms"), bias: floats("bias"), masked: sent.detail.masked && decodeBytes(sent.detail.masked) }
    }
    return part
}

function decodeWeights(text, most) { // codes of roots
    const bytes = decodeBytes(text)
    const codes = most > 255 ? new Uint16Array(bytes.buffer) : bytes
    return Float32Array.from(codes, code => (code / most) ** 2)
}

// The sent weights of a head: a function of absolute query and key, NaN where they were not sent. null: none were.
function reader(part, layer, head) {
    if (!part.values) return null
    const [first, last, q0, q1, k0, k1] = part.block
    if (layer < first || layer >= last) return null
    const [tall, wide, number] = [q1 - q0, k1 - k0, (layer - first) * part.heads + head]
    const { values } = part
    if (part.triangle) {
        const from = (number * tall * (tall + 1)) / 2
        return (query, key) => (key > query ? 0 : values[from + (query * (query + 1)) / 2 + key])
    }
    const from = number * tall * wide
    return (query, key) => query < q0 || query >= q1 || key < k0 || key >= k1 ? NaN : values[from + (query - q0) * wide + key - k0]
}

// ---- what is in sight: the part, and the queries and keys that options and window leave of it ----

function look(ui) {
    const { selection, options } = ui.kept
    const at = ui.sides[0].findIndex(part => part.name === selection.part)
    const [a, b] = [ui.sides[0][at], ui.sides[1]?.[at]]
    const alike = b && a.queries.length === b.queries.length && a.keys.length === b.keys.length
    const side = !b || (options.side === "gap" && !alike) ? "a" : options.side
    const part = side === "b" ? b : a
    const others = side === "gap" ? [a, b] : [part]
    const named = axis => part[axis].map((token, i) => shown(token) + (side === "gap" && b[axis][i] !== token ? ` → ${shown(b[axis][i])}` : ""))
    const visible = axis => {
        const own = options.filter !== "all" && part.segments[axis] ? Number(options.filter[axis]) : null
        const count = part[axis ? "keys" : "queries"].length
        return Array.from({ length: count }, (_, i) => i).filter(i =>
            !(options.plain && part.special[axis].has(i)) && (own === null || part.segments[axis][i] === own))
    }
    const all = [visible(0), visible(1)]
    const drawn = part.block ? [part.block.slice(2, 4), part.block.slice(4, 6)] : [[0, Infinity], [0, Infinity]]
    const cut = (list, axis) => { // to the window
        const [count, start] = [part[axis ? "keys" : "queries"].length, axis ? options.keyStart : options.queryStart]
        const [from, to] = drawn[axis]
        if (to - from < count && part.block) return list.filter(i => i >= from && i < to)
        const begin = Math.max(0, Math.min(start, list.length - DRAWN))
        return list.slice(begin, begin + DRAWN)
    }
    const [queries, keys] = [cut(all[0], 0), cut(all[1], 1)]
    const now = { part, side, others, alike, gap: side === "gap", layer: selection.layer, heads: selection.heads, all, queries, keys,
        queryNames: named("queries"), keyNames: named("keys"), whole: keys.length === part.keys.length,
        plain: options.plain && (part.special[0].size || part.special[1].size) }
    now.here = others.every(one => reader(one, now.layer, 0))
    now.mark = [side, part.name, options.plain, options.filter, queries[0], queries.at(-1), keys[0], keys.at(-1)].join()
    if (ui.mark !== now.mark) ui.rows = new Map()
    ui.mark = now.mark
    return now
}

// (queries in sight × keys in sight) of a head, renormalised where special tokens are hidden; B − A where that is seen.
function matrixOf(ui, head, layer = ui.now.layer) {
    const at = layer * ui.now.part.heads + head
    if (!ui.rows.has(at)) {
        const [one, other] = ui.now.others.map(part => gather(ui.now, reader(part, layer, head)))
        ui.rows.set(at, other && one ? one.map((weight, i) => other[i] - weight) : one)
    }
    return ui.rows.get(at)
}

function gather({ queries, keys, all, plain }, weight) {
    if (!weight) return null
    const found = new Float32Array(queries.length * keys.length)
    queries.forEach((query, i) => {
        let kept = 1
        if (plain) {
            kept = 0
            for (const key of all[1]) kept += weight(query, key) || 0
        }
        keys.forEach((key, j) => { found[i * keys.length + j] = kept > 1e-6 ? weight(query, key) / kept : 0 })
    })
    return found
}

function meanMatrix(ui) {
    const { heads, layer } = ui.now
    if (heads.length === 1) return matrixOf(ui, heads[0])
    const at = `${layer}: ${heads}`
    if (!ui.rows.has(at)) {
        const mean = new Float32Array(matrixOf(ui, heads[0]).length)
        for (const head of heads) matrixOf(ui, head).forEach((weight, i) => { mean[i] += weight / heads.length })
        ui.rows.set(at, mean)
    }
    return ui.rows.get(at)
}

function rowSum(ui, query, i, matrix) { // of the true weights where a row is whole, else of what is in sight
    const { part, keys, heads, layer, whole, gap, plain } = ui.now
    if (gap) return null
    if (whole && !plain) {
        const sums = part.sums ? heads.map(head => part.sums[(layer * part.heads + head) * part.queries.length + query]) : [1]
        return { sum: sums.reduce((a, b) => a + b, 0) / sums.length, of: "" }
    }
    let sum = 0
    for (let j = 0; j < keys.length; j++) sum += matrix[i * keys.length + j]
    return { sum, of: sum < 0.995 ? " in sight, of 1" : plain ? ", renormalised" : "" }
}

// ---- drawing ----

function redraw(ui) { // at most once a frame
    ui.stale = true
    schedule(ui)
}

function schedule(ui) {
    ui.frame ||= requestAnimationFrame(() => {
        ui.frame = 0
        if (ui.stale) draw(ui)
        else paint(ui)
    })
}

function draw(ui) {
    ui.stale = false
    if (!ui.data || !ui.root.clientWidth) return
    ui.width = ui.root.clientWidth
    const { view } = ui.kept.selection
    ui.now = look(ui)
    ui.inks ??= mixInks(ui)
    settleToolbar(ui)
    ui.tip.hidden = true
    const missing = view !== "grid" && (!ui.now.here || (view === "arithmetic" && awaited(ui)))
    ui.root.classList.toggle("waiting", !!missing)
    if (missing) {
        const { selection } = ui.kept
        ui.stage.replaceChildren(element("p", "wait", `Fetching layer ${selection.layer + FIRST}, head ${selection.heads[0] + FIRST} …`))
        return
    }
    const node = (ui.nodes[view] ??= VIEWS[view].make(ui))
    if (ui.stage.firstChild !== node || ui.stage.childNodes.length > 1) ui.stage.replaceChildren(node)
    VIEWS[view].draw(ui, node)
    paint(ui)
}

function paint(ui) {
    const { view } = ui.kept.selection
    const node = ui.nodes[view]
    if (!ui.now || !node?.isConnected) return
    VIEWS[view].paint(ui, node, aimOf(ui))
    ui.hint.textContent = HINTS[view]
}

function awaited(ui) { // the arithmetic of a head that Python has not sent yet
    const { detail } = ui.now.part
    return !!detail && !(detail.query && (!detail.only || (detail.only[0] === ui.now.layer && detail.only[1] === ui.now.heads[0])))
}

function aimOf(ui) { // what the pointer is on goes before what is held
    const { token, key } = ui.kept.selection
    return ui.hover ?? { token, key, held: token !== null || key !== null }
}

function point(ui, aim) {
    const same = ui.hover?.token === aim?.token && ui.hover?.key === aim?.key && !ui.hover === !aim
    ui.hover = aim
    if (!same) schedule(ui)
}

function select(ui, change) { // a click: seen at once, and told to Python
    const before = ui.kept.selection
    const moved = "part" in change && change.part !== before.part
    ui.kept.selection = fitSelection(ui, { ...before, ...(moved ? { token: null, key: null } : {}), ...change })
    if (moved) Object.assign(ui.kept.options, { queryStart: 0, keyStart: 0 })
    ui.hover = null
    redraw(ui)
    ui.report()
}

function option(ui, change) {
    Object.assign(ui.kept.options, change)
    redraw(ui)
}

function hold(ui, what, at) { // click: hold; the same once more: let go
    const held = ui.kept.selection[what] === at
    select(ui, { [what]: held ? null : at })
}

function steer(ui, event) {
    const { selection, options } = ui.kept
    const control = event.composedPath()[0]
    if (event.key === "Escape") {
        if (ui.hover) { ui.hover = null; ui.tip.hidden = true; schedule(ui) }
        else if (selection.token !== null || selection.key !== null) select(ui, { token: null, key: null })
        else if (options.opened) close(ui)
        else return
        event.preventDefault()
        return
    }
    if (!control.matches?.("[data-steer]")) return // arrows belong to the radio buttons and sliders that have them
    const move = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key]
    if (move && ui.now?.here) VIEWS[selection.view].step?.(ui, move[0], move[1])
    else if ((event.key === "Enter" || event.key === " ") && ui.hover) {
        const { token, key } = ui.hover
        const only = selection.view === "matrix" || selection.view === "image"
        select(ui, only ? { token: selection.token === token ? null : token } : { token: token ?? null, key: key ?? null })
    } else return
    event.preventDefault()
}

function close(ui) {
    ui.kept.options.opened = false
    select(ui, { view: "grid", token: null, key: null })
}

function tell(ui, text) {
    ui.told.textContent = text
}

// ---- colours ----

function mixInks(ui) {
    const style = getComputedStyle(ui.root)
    const page = rgb(style.getPropertyValue("--st-background-color") || "white")
    const text = rgb(style.getPropertyValue("--st-text-color") || "black")
    const dark = luminance(page) < 128
    const palette = ui.data.palettes[dark ? "dark" : "light"]
    const heads = Math.max(...ui.sides[0].map(part => part.heads))
    const base = palette.heads.map(rgb)
    const colours = Array.from({ length: heads }, (_, head) => { // from the eleventh on the same hues, darker, then paler
        const round = Math.floor(head / base.length)
        return blend([base[head % base.length], round % 2 ? text : page], round ? Math.min(0.55, 0.3 + 0.1 * round) : 0)
    })
    const sizes = [page, ...palette.size.slice(1).map(rgb)]
    const signed = [...palette.signed.slice(0, 5).map(rgb), page, ...palette.signed.slice(5).map(rgb)]
    const shades = Array.from({ length: 256 }, (_, i) => blend(sizes, i / 255))
    const tints = Array.from({ length: 511 }, (_, i) => blend(signed, i / 510))
    return { page, text, dark, heads: colours, shades, tints, line: style.getPropertyValue("--st-border-color"),
        primary: style.getPropertyValue("--st-primary-color"), font: style.getPropertyValue("--st-font") || "sans-serif" }
}

// Weights are coloured by their root, from zero to the largest weight of the part; differences likewise, either way.
function shadeOf(ui, weight) {
    const { inks, now } = ui
    const share = Math.min(1, Math.sqrt(Math.abs(weight) / now.part.top || 0))
    return now.gap ? inks.tints[255 + Math.round(Math.sign(weight) * 255 * share)] : inks.shades[Math.round(255 * share)]
}

function tintOf(ui, value, limit) { // signed values, evenly
    return ui.inks.tints[255 + Math.round(255 * Math.max(-1, Math.min(1, value / (limit || 1))))]
}

function css(colour, alpha = 1) {
    return `rgb(${colour.map(Math.round).join(" ")} / ${alpha})`
}

function pixels(ui, values, width, height, colourOf = value => shadeOf(ui, value)) {
    const image = new ImageData(width, height)
    values.forEach((value, i) => {
        const colour = Number.isNaN(value) ? ui.inks.page : colourOf(value)
        image.data.set([colour[0], colour[1], colour[2], 255], 4 * i)
    })
    return image
}

function scaleBar(ui) { // what the colours of weights mean
    const { gap, part } = ui.now
    const stops = Array.from({ length: 17 }, (_, i) => {
        const share = gap ? i / 8 - 1 : i / 16 // along the bar weights grow evenly
        return css(shadeOf(ui, share * part.top))
    })
    const [low, high] = gap ? [`−${digits(part.top)}`, `+${digits(part.top)}`] : ["0", digits(part.top)]
    const bar = element("span", "scale")
    bar.innerHTML = `<span></span><i></i><span></span><em></em>`
    bar.children[0].textContent = low
    bar.children[1].style.background = `linear-gradient(to right, ${stops})`
    bar.children[2].textContent = high
    bar.children[3].textContent = gap ? "less and more attention in B" : "attention"
    bar.title = "One scale for all heads and layers of this part"
    return bar
}

// ---- toolbar ----

function fillToolbar(ui) {
    const { data } = ui
    const parts = ui.sides[0].map(part => [part.name, [NAMES[part.name] ?? part.name, `${part.layers} layers of ${part.heads} heads`]])
    const steps = element("div", "stepper")
    steps.innerHTML = `<button type="button" aria-label="One layer down">‹</button><label><span class="unseen">Layer</span>
        <select></select></label><button type="button" aria-label="One layer up">›</button>`
    const [back, label, on] = steps.children
    const layer = label.lastElementChild
    back.addEventListener("click", () => select(ui, { layer: Math.max(0, ui.kept.selection.layer - 1) }))
    on.addEventListener("click", () => select(ui, { layer: ui.kept.selection.layer + 1 }))
    layer.addEventListener("change", () => select(ui, { layer: Number(layer.value) }))
    ui.bar.replaceChildren(segments("view", "View", data.views.map(view => [view, [VIEWS[view].title, VIEWS[view].about]]), view => {
        ui.kept.options.opened &&= view !== "grid"
        select(ui, { view })
    }))
    if (parts.length > 1) ui.bar.append(segments("part", "Part", parts, part => select(ui, { part })))
    ui.bar.append(steps)
    ui.controls = { steps, back, layer, on }

    const mass = element("label", "slider")
    mass.title = "For each query and head, the strongest links that together hold this share of its weight"
    mass.innerHTML = `<span>Links holding</span><input type="range" min="5" max="100" step="5"><output></output><span class="count"></span>`
    mass.children[1].addEventListener("input", event => option(ui, { mass: Number(event.target.value) }))
    const filter = segments("filter", "Sentences", FILTERS.map(([name, text]) => [name, [text, `Links from sentence ${text.replace("→", " to sentence ")}`.replace("sentence All", "any sentence")]]), filter => option(ui, { filter }))
    const plain = element("label", "check")
    plain.title = "Hides the tokens that no word is of, where much attention rests; what is left of each row is made to sum to 1"
    plain.innerHTML = `<input type="checkbox"><span>Hide special tokens</span>`
    plain.firstChild.addEventListener("change", event => option(ui, { plain: event.target.checked }))
    const side = segments("side", "Inputs", Object.entries(SIDES), side => option(ui, { side }))
    const windows = element("div", "windows")
    const notice = element("span", "notice")
    ui.options.replaceChildren(side, mass, filter, plain, windows, notice)
    Object.assign(ui.controls, { mass, filter, plain, side, windows, notice })
    ui.chipsFor = null
}

function segments(name, legend, choices, chosen) {
    const set = element("fieldset", "segments")
    set.append(element("legend", "unseen", legend))
    const group = `${name}-${Math.random().toString(36).slice(2)}` // radios of two components must not be one group
    for (const [value, [text, about]] of choices) {
        const [label, input, face] = [element("label"), element("input"), element("span", "", text)]
        Object.assign(input, { type: "radio", name: group, value })
        face.dataset.text = text
        label.title = about
        input.addEventListener("change", () => chosen(value))
        label.append(input, face)
        set.append(label)
    }
    set.settle = value => { for (const radio of set.querySelectorAll("input")) radio.checked = radio.value === value }
    return set
}

function settleToolbar(ui) { // the controls show the selection, also one that came from a link
    const { selection, options } = ui.kept
    const { now, controls } = ui
    const { view } = selection
    for (const set of ui.bar.querySelectorAll(".segments")) set.settle(set.querySelector("legend").textContent === "View" ? view : selection.part)
    const { steps, back, layer, on, mass, filter, plain, side, windows, notice } = controls
    steps.hidden = view === "grid" || now.part.layers < 2
    if (layer.options.length !== now.part.layers) {
        layer.replaceChildren(...Array.from({ length: now.part.layers }, (_, i) => new Option(`Layer ${i + FIRST} of ${now.part.layers}`, i)))
    }
    layer.value = selection.layer
    back.disabled = selection.layer === 0
    on.disabled = selection.layer === now.part.layers - 1
    fillChips(ui)
    mass.hidden = view !== "heads"
    mass.children[1].value = options.mass
    mass.children[2].textContent = `${options.mass}%`
    filter.hidden = !now.part.segments[0] && !now.part.segments[1] || ["arithmetic", "image"].includes(view)
    filter.settle(options.filter)
    plain.hidden = !(now.part.special[0].size || now.part.special[1].size) || ["arithmetic", "image"].includes(view)
    plain.firstChild.checked = options.plain
    side.hidden = ui.sides.length < 2
    side.settle(now.side)
    side.lastElementChild.hidden = !now.alike || ["arithmetic", "image"].includes(view)
    notice.textContent = now.plain && !plain.hidden ? "Rows renormalised: what is left of each sums to 1." : ""
    fillWindows(ui, windows)
    ui.options.hidden = [...ui.options.children].every(child => child.hidden || !child.childNodes.length)
    headline(ui)
}

function fillWindows(ui, windows) { // of long inputs a part is drawn; say which, and move it
    const { now } = ui
    const tied = now.part.queries.length === now.part.keys.length && now.part.name !== "cross"
    windows.replaceChildren()
    windows.hidden = !["heads", "matrix", "grid"].includes(ui.kept.selection.view)
    ;[["queries", 0, "queryStart"], ["keys", 1, "keyStart"]].forEach(([name, axis, start]) => {
        const [all, seen] = [now.all[axis], now[name]]
        if (windows.hidden || seen.length >= all.length || !seen.length) return
        const at = all.indexOf(seen[0])
        const go = to => {
            const begin = Math.max(0, Math.min(to, all.length - DRAWN))
            const change = { [start]: begin, ...(tied && axis === 0 ? { keyStart: begin } : {}) }
            option(ui, change)
            const { queryStart, keyStart } = ui.kept.options
            if (now.part.block && now.part.block[3] - now.part.block[2] < now.part.queries.length) ui.askWindow([queryStart, keyStart])
        }
        const stepper = element("div", "stepper")
        const [less, text, more] = [element("button", "", "‹"), element("span", "", `${name}: tokens ${at + 1}–${at + seen.length} of ${all.length}`), element("button", "", "›")]
        Object.assign(less, { type: "button", ariaLabel: `Earlier ${name}`, disabled: at === 0 })
        Object.assign(more, { type: "button", ariaLabel: `Later ${name}`, disabled: at + seen.length >= all.length })
        less.addEventListener("click", () => go(at - DRAWN))
        more.addEventListener("click", () => go(at + DRAWN))
        stepper.append(less, text, more)
        windows.append(stepper)
    })
}

function fillChips(ui) {
    const { part, layer, heads } = ui.now
    const roles = ui.data.roles[part.name]?.[layer]
    ui.chips.hidden = ui.kept.selection.view === "grid" || part.heads < 2
    const shape = [part.name, layer, part.heads].join()
    if (ui.chipsFor !== shape) {
        ui.chipsFor = shape
        const all = element("button", "chip every", "All")
        all.addEventListener("click", () => select(ui, { heads: Array.from({ length: part.heads }, (_, i) => i) }))
        ui.chips.replaceChildren(all, ...Array.from({ length: part.heads }, (_, head) => {
            const chip = element("button", "chip")
            chip.innerHTML = `<i></i><b></b><small></small>`
            chip.children[1].textContent = head + FIRST
            chip.children[2].textContent = roles?.[head] ?? ""
            chip.title = `Head ${head + FIRST}${roles?.[head] ? `, ${roles[head]}` : ""}: click to add or take away, double-click to see it alone`
            chip.setAttribute("aria-label", `Head ${head + FIRST}${roles?.[head] ? `, ${roles[head]}` : ""}`)
            chip.addEventListener("click", event => {
                const now = ui.kept.selection.heads
                const alone = event.shiftKey || event.detail > 1
                const toggled = now.includes(head) ? now.filter(one => one !== head) : [...now, head]
                select(ui, { heads: alone || !toggled.length ? [head] : toggled })
            })
            return chip
        }))
        for (const chip of ui.chips.children) chip.type = "button"
    }
    const chips = [...ui.chips.children]
    chips[0].setAttribute("aria-pressed", heads.length === part.heads)
    chips.slice(1).forEach((chip, head) => {
        chip.style.setProperty("--colour", css(ui.inks.heads[head]))
        chip.setAttribute("aria-pressed", heads.includes(head))
        chip.classList.toggle("first", heads[0] === head && ui.kept.selection.view === "arithmetic")
    })
}

function headline(ui) { // which head it is; opened from the grid, its picture closes it again
    const { part, layer, heads } = ui.now
    const { view } = ui.kept.selection
    const { opened } = ui.kept.options
    const role = ui.data.roles[part.name]?.[layer]?.[heads[0]]
    const line = ui.headline
    line.replaceChildren()
    line.hidden = view === "grid"
    if (line.hidden) return
    const many = heads.length > 1
    const numbers = [...heads].sort((a, b) => a - b).map(head => head + FIRST).join(", ")
    const several = heads.length === part.heads ? `all ${heads.length} heads` : `heads ${numbers}`
    const averaged = view === "matrix" || view === "image" ? "mean of " : ""
    const name = many && view !== "arithmetic" ? `${averaged}${several}` : `head ${heads[0] + FIRST}`
    if (opened) {
        const back = element("button", "back")
        back.type = "button"
        back.ariaLabel = "Close this head and see all heads"
        back.title = "Close (Esc)"
        const canvas = element("canvas")
        if (ui.now.here) thumbnail(ui, canvas, layer, heads[0])
        back.append(canvas, element("span", "", "✕"))
        back.addEventListener("click", () => close(ui))
        line.append(back)
    }
    const title = element("h4", "", `Layer ${layer + FIRST} · ${name}`)
    line.append(title)
    if (role && (!many || view === "arithmetic")) line.append(element("span", "role", role))
    if (view === "matrix") line.append(scaleBar(ui))
}

// ---- small hands ----

function shown(token) { // a token as text that can be seen
    const text = token.replace(/\n/g, "↵").replace(/\t/g, "⇥")
    return text.trim() || (text ? "␣" : "∅")
}

function number(value, decimals) {
    const text = Math.abs(value).toFixed(decimals)
    return (value < 0 && Number(text) !== 0 ? "−" : "") + text
}

function digits(value, count = 3) {
    const size = Math.abs(value)
    if (!size) return "0"
    const text = size < 1e-3 || size >= 1e5 ? size.toExponential(count - 1) : String(Number(size.toPrecision(count)))
    return (value < 0 ? "−" : "") + text
}

// A weight with the digits that its code carries: it is known to √w / most.
function weightText(ui, weight, signed = false, most = 5) {
    if (Number.isNaN(weight)) return "not sent"
    const known = Math.sqrt(Math.max(Math.abs(weight), 1e-6)) / ui.now.part.most
    const decimals = Math.max(2, Math.min(Math.abs(weight) < 0.001 ? most : 3, Math.floor(-Math.log10(known))))
    return (signed && weight > 0 ? "+" : "") + number(weight, decimals)
}

function sizeCanvas(canvas, width, height) { // in pixels of the page; gives a pen that draws in them, on an empty sheet
    const sharp = Math.min(2, window.devicePixelRatio || 1)
    const [wide, tall] = [Math.max(1, Math.round(width * sharp)), Math.max(1, Math.round(height * sharp))]
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall })
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` })
    const pen = canvas.getContext("2d")
    pen.setTransform(1, 0, 0, 1, 0, 0)
    pen.clearRect(0, 0, wide, tall)
    pen.setTransform(sharp, 0, 0, sharp, 0, 0)
    return pen
}

// `rect`: of what it is about, in pixels of the window. Beside it where there is room, inside the component always.
function showTip(ui, content, rect) {
    const { tip, root } = ui
    tip.replaceChildren(...content)
    tip.hidden = false
    const [outer, own] = [root.getBoundingClientRect(), tip.getBoundingClientRect()]
    let left = rect.right + 10 - outer.left
    if (left + own.width > outer.width) left = rect.left - 10 - own.width - outer.left
    if (left < 0) left = Math.max(0, Math.min(outer.width - own.width, (rect.left + rect.right - own.width) / 2 - outer.left))
    const top = Math.max(0, Math.min(outer.height - own.height, (rect.top + rect.bottom - own.height) / 2 - outer.top))
    const covers = left < rect.right - outer.left && left + own.width > rect.left - outer.left
    const above = rect.top - outer.top - own.height - 8
    Object.assign(tip.style, { left: `${left}px`, top: `${covers ? (above > 0 ? above : rect.bottom - outer.top + 8) : top}px` })
}

