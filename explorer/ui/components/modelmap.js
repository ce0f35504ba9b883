// The map of a network: nested boxes from top to bottom, and the lines along which tensors flow. Python sends all nodes
// once; folding, the choice of the quantity and hovering happen here, and only what is unfolded is in the document.
// A click on a box is reported to Python as state `chosen`.

const QUANTITIES = {
    flops: ["FLOPs", "floating-point operations of one pass"],
    parameters: ["Parameters", "weights, its own and those inside"],
    bytes: ["Activations", "memory of what its layers give out"],
    milliseconds: ["Time", "milliseconds, measured here"],
}
const SHORT = { parameters: "Params", bytes: "Activ." }
const GLYPHS = { add: "+", sub: "−", mul: "×", div: "÷", cat: "‖", stack: "‖", attention: "A", mean: "x̄", softmax: "σ" }
const WORDS = { cat: "concatenated", add: "added", mul: "multiplied", sub: "subtracted", div: "divided" }
const ROOM = { spine: 22, lane: 7, widest: 70, edge: 11 } // pixels: from a box's left edge, between lanes, of all lanes
const SVG = "http://www.w3.org/2000/svg"

const mounted = new WeakMap() // the place on the page → what is drawn there
const remembered = new Map() // key → what is open, chosen and shown as bars, which outlive a remount

export default function modelmap({ data, parentElement, setStateValue }) {
    const map = mounted.get(parentElement) ?? mount(parentElement)
    map.report = name => setStateValue("chosen", { ref: data.ref, name })
    map.turn = (map.turn ?? 0) + 1
    const turn = map.turn
    take(map, data)
    return () => turn === map.turn && unmount(map)
}

function mount(place) {
    const root = element("div", "modelmap")
    root.innerHTML = `
        <div class="totals" role="radiogroup" aria-label="What the bars show"></div>
        <div class="tools">
            <div class="levels" role="group" aria-label="Fold">
                <button type="button" data-by="-1">− Fold a level</button
                ><button type="button" data-by="1">+ Unfold a level</button>
            </div>
            <ul class="legend"></ul>
        </div>
        <div class="frame">
            <div class="heads"></div>
            <div class="tree" role="tree" aria-label="Modules of the network"></div>
        </div>
        <div class="unseen" aria-live="polite"></div>`
    const find = name => root.querySelector(`.${name}`)
    const map = { place, root, totals: find("totals"), legend: find("legend"), frame: find("frame"),
        heads: find("heads"), tree: find("tree"), told: find("unseen"), rows: new Map(), wires: [] }
    find("levels").addEventListener("click", event => level(map, Number(event.target.dataset.by)))
    map.tree.addEventListener("click", event => clicked(map, event))
    map.tree.addEventListener("keydown", event => pressed(map, event))
    map.tree.addEventListener("pointerover", event => lit(map, event.target.closest(".row")))
    map.tree.addEventListener("pointerleave", () => lit(map, null))
    map.resized = new ResizeObserver(() => wire(map))
    map.resized.observe(map.tree)
    map.themed = new MutationObserver(() => paint(map)) // Streamlit renames the class around us as the theme changes
    const around = place.host?.parentElement ?? place.parentElement
    if (around) map.themed.observe(around, { attributes: true })
    place.append(root)
    mounted.set(place, map)
    return map
}

function unmount(map) {
    map.resized.disconnect()
    map.themed.disconnect()
    map.root.remove()
    mounted.delete(map.place)
}

// ---- data ----

function take(map, data) {
    const before = remembered.get(data.key)
    const same = before?.ref === data.ref
    const sign = JSON.stringify([data.ref, data.sized, data.nodes.map(node => node.failure?.error ?? 0)])
    const asked = same && before.asked === data.chosen ? before.chosen : data.chosen
    map.kept = {
        ref: data.ref, sign, asked: data.chosen, chosen: asked,
        open: same && before.sign === sign ? before.open : new Set(data.opened),
        bars: before?.bars ?? "flops",
    }
    remembered.set(data.key, map.kept)
    const sent = JSON.stringify([sign, data.nodes, data.links, data.height]) // a rerun that changed nothing draws nothing
    const fresh = sent !== map.sent
    map.sent = sent
    map.data = data
    map.parents = new Map()
    data.nodes.forEach((node, at) => node.inside.forEach(part => map.parents.set(part, at)))
    map.frame.style.maxHeight = `${data.height}px`
    if (fresh) draw(map)
    else choose(map, asked)
}

// ---- drawing ----

function draw(map) {
    const { data, kept } = map
    paint(map)
    map.totals.replaceChildren(...Object.entries(QUANTITIES).map(([what, [title, hint]]) => {
        const card = element("button", "card")
        card.type = "button"
        card.title = `${hint}; click to see each box's share of it`
        card.setAttribute("role", "radio")
        card.setAttribute("aria-checked", String(kept.bars === what))
        const whole = data.nodes[0][what]
        card.append(element("span", "what", title), element("span", "sum", shown(what, whole)),
            element("span", "exactly", exact(what, whole, data.passes)))
        card.addEventListener("click", () => { kept.bars = what; draw(map) })
        return card
    }))
    const families = new Set(data.nodes.map(node => node.family))
    map.legend.replaceChildren(...data.families.flatMap((name, at) => {
        if (!families.has(at)) return []
        const item = element("li", "", name)
        item.prepend(swatch(at))
        return [item]
    }))
    map.heads.replaceChildren(element("span", "grow", "Module"), element("span", "cell shape", "Output"),
        ...Object.entries(QUANTITIES).map(([what, [title]]) => {
            const head = element("span", `cell ${what}`, SHORT[what] ?? title)
            head.classList.toggle("barred", what === kept.bars)
            return head
        }))
    map.rows.clear()
    map.wires = []
    const visible = shownNodes(map)
    map.deepest = Math.max(1, ...visible.map(([, depth]) => depth))
    const sizes = visible.filter(([at]) => !kept.open.has(at)).map(([at]) => data.nodes[at][kept.bars] ?? 0)
    map.fullest = Math.max(...sizes, 1e-12)
    map.root.style.setProperty("--deepest", map.deepest)
    const top = map.frame.scrollTop
    map.tree.replaceChildren(pin("Input", data.sized, "enters"), inside(map, 0, 1),
        pin("Output", data.nodes[0].shape ? [data.nodes[0].shape] : [], "leaves"))
    map.frame.scrollTop = top
    choose(map, kept.chosen)
    wire(map)
}

function shownNodes(map) { // [place, depth] of every box that is drawn
    const found = []
    const visit = (at, depth) => map.data.nodes[at].inside.forEach(part => {
        found.push([part, depth])
        if (map.kept.open.has(part)) visit(part, depth + 1)
    })
    visit(0, 1)
    return found
}

function paint(map) {
    if (!map.data) return
    const background = getComputedStyle(map.root).getPropertyValue("--st-background-color").trim()
    const dark = luminance(rgb(background || "#fff")) < 128
    map.root.classList.toggle("dark", dark)
    map.data.colours[dark ? "dark" : "light"].forEach((colour, at) => map.root.style.setProperty(`--family-${at}`, colour))
}

function pin(title, shapes, side) {
    const node = element("div", `pin ${side}`)
    node.append(element("b", "", title), element("span", "", !shapes.length ? "not reached" : shapes.map(shape => sized(shape)).join("  and  ")))
    return node
}

function inside(map, at, depth) {
    const holder = element("div", at ? "inside" : "inside whole")
    holder.setAttribute("role", "group")
    const wires = document.createElementNS(SVG, "svg")
    wires.setAttribute("aria-hidden", "true")
    const plan = route(map, at)
    holder.style.setProperty("--gutter", `${plan.gutter}px`)
    holder.append(wires, ...map.data.nodes[at].inside.map(part => box(map, part, depth, plan)))
    if (plan.ends) holder.append(element("div", "end"))
    map.wires.push({ holder, wires, plan })
    return holder
}

function box(map, at, depth, plan) {
    const { data, kept } = map
    const node = data.nodes[at]
    const made = element("div", "box")
    const open = kept.open.has(at) && node.inside.length > 0
    made.classList.toggle("open", open)
    made.classList.toggle("holds", node.inside.length > 0)
    made.classList.toggle("group", Boolean(node.group))
    made.classList.toggle("still", !node.ran)
    made.classList.toggle("failed", Boolean(node.failure))
    made.classList.toggle("joined", plan.joined.has(at))
    made.classList.toggle("parts", plan.parts.has(at))
    if (node.family >= 0) made.style.setProperty("--family", `var(--family-${node.family})`)
    made.append(row(map, at, depth, open))
    if (node.failure) made.append(broken(node))
    if (open) made.append(inside(map, at, depth + 1))
    return made
}

function row(map, at, depth, open) {
    const { data, kept } = map
    const node = data.nodes[at]
    const line = element("div", "row")
    line.tabIndex = -1
    line.dataset.at = at
    line.style.setProperty("--depth", depth)
    line.setAttribute("role", "treeitem")
    line.setAttribute("aria-level", depth)
    if (node.inside.length) line.setAttribute("aria-expanded", String(open))
    const caret = element("span", "caret")
    const name = element("span", "name")
    name.append(element("b", "", node.title))
    if (node.kind) name.append(element("i", "", node.kind))
    if (node.repeats) name.append(element("em", "", node.repeats))
    if (node.calls > 1) {
        const number = node.name.split("#")[1]
        const again = element("em", "", number ? `×${node.calls} · call ${number}` : `×${node.calls}`)
        again.title = `It runs ${node.calls} times in one pass`
        name.append(again)
    }
    if (!node.ran) name.append(element("em", "", "did not run"))
    const cells = Object.keys(QUANTITIES).map(what => {
        const cell = element("span", `cell ${what}`)
        const value = node[what]
        const blank = value === null || value === undefined || (!node.ran && what !== "parameters")
        cell.append(element("span", "number", blank ? "–" : shown(what, value)))
        if (what === kept.bars) {
            cell.classList.add("barred")
            const share = blank ? 0 : value / (data.nodes[0][what] || 1)
            cell.append(element("span", "share", blank || !data.nodes[0][what] ? "" : percent(share)))
            const bar = element("span", "bar")
            bar.style.width = `${open || blank ? 0 : Math.min(100, 100 * value / map.fullest)}%`
            cell.prepend(bar)
        }
        return cell
    })
    line.append(caret, name, element("span", "cell shape", node.shape ? sized(node.shape) : "–"), ...cells)
    line.title = described(node, data)
    line.setAttribute("aria-label", described(node, data).replaceAll("\n", ", "))
    map.rows.set(at, line)
    return line
}

function described(node, data) {
    const lines = [`${node.name || "the network"}${node.kind ? ` · ${node.kind}` : ""}`]
    if (node.given.length) lines.push(`in ${node.given.map(shape => sized(shape, true)).join(" · ")}`)
    if (node.shape?.length) lines.push(`out ${sized(node.shape, true)}`)
    for (const [what, [title]] of Object.entries(QUANTITIES)) {
        if (node[what] !== null && (node.ran || what === "parameters")) lines.push(`${title}: ${exact(what, node[what])}`)
    }
    if (node.note) lines.push(node.note)
    return lines.join("\n")
}

function broken(node) {
    const told = element("div", "broken")
    const given = node.given.map(shape => sized(shape, true)).join(" · ")
    const weights = Object.entries(node.failure.weights).map(([name, shape]) => `${name} ${sized(shape, true)}`).join(", ")
    told.append(element("b", "", "The pass ended here"))
    if (given) told.append(element("span", "", `came in: ${given}`))
    if (weights) told.append(element("span", "", `its weights: ${weights}`))
    told.append(element("code", "", node.failure.error))
    return told
}

// ---- lines ----

function route(map, at) { // what flows inside a box: which lines run straight, and which in lanes at the left
    const parts = map.data.nodes[at].inside
    const rank = new Map(parts.map((part, place) => [part, place]))
    const last = parts.length
    const joined = new Map(), leaving = new Set(), lines = [], straight = []
    let ends = false
    for (const [from, to, through] of map.data.links[at] ?? []) {
        const source = from < 0 ? -1 : rank.get(from), target = to < 0 ? last : rank.get(to)
        if (source === undefined || target === undefined) continue
        const line = { from, to, source, target, through: through.filter(Boolean), moved: through.length > 0 }
        if (target === last && (line.through.length || source !== last - 1)) ends = true
        if (target === source + 1) straight.push(line)
        else lines.push(line)
        const all = joined.get(to < 0 ? -2 : to) ?? []
        all.push(line)
        joined.set(to < 0 ? -2 : to, all)
    }
    for (const line of lines) leaving.add(line.from)
    const sources = [...new Set(lines.map(line => line.source))].map(source => {
        const mine = lines.filter(line => line.source === source)
        const reach = mine.map(line => line.target)
        return { source, low: Math.min(source, ...reach), high: Math.max(source, ...reach) }
    }).sort((a, b) => (a.high - a.low) - (b.high - b.low))
    const lanes = [] // each a list of stretches that do not touch; short ones lie nearest
    for (const one of sources) {
        let lane = lanes.findIndex(taken => taken.every(other => other.high <= one.low || other.low >= one.high))
        if (lane < 0) lane = lanes.push([]) - 1
        lanes[lane].push(one)
        one.lane = lane
    }
    const gap = Math.min(ROOM.lane, ROOM.widest / Math.max(1, lanes.length))
    for (const line of lines) line.lane = sources.find(one => one.source === line.source).lane
    const crowded = new Set([...joined].filter(([, all]) => all.length > 1 || all.some(one => one.through.length))
        .map(([to]) => to))
    const busy = new Set([...crowded].concat(lines.map(line => line.to < 0 ? -2 : line.to)))
    const gutter = lanes.length ? Math.ceil(lanes.length * gap) + ROOM.edge : at ? 8 : 0
    return { order: parts, last, lines, straight, joined: busy, glyphs: joined, parts: leaving, gap, gutter, ends }
}

function wire(map) {
    const measured = map.wires.map(({ holder, plan, wires }) => { // all places first: to draw in between would cost a layout each
        const boxes = [...holder.children].filter(node => node.classList.contains("box"))
            .map(node => [node.offsetTop, node.offsetTop + node.offsetHeight])
        return { plan, wires, boxes, width: holder.clientWidth, height: holder.clientHeight }
    })
    for (const { plan, wires, boxes, width, height } of measured) {
        wires.setAttribute("width", width)
        wires.setAttribute("height", height)
        const spine = plan.gutter + ROOM.spine
        const top = at => at >= boxes.length ? height : boxes[at][0]
        const bottom = at => at < 0 ? 0 : boxes[at][1]
        const branch = at => bottom(at) + (at < 0 ? 5 : 6)
        const busy = target => plan.joined.has(target === plan.last ? -2 : plan.order[target])
        const merge = target => top(target) - (target === plan.last ? 11 : 14)
        const drawn = []
        const fed = new Set()
        for (const line of plan.straight) {
            const end = busy(line.target) ? merge(line.target) : top(line.target)
            drawn.push(path(line, `M${spine},${bottom(line.source)}V${end}`, !busy(line.target)))
            fed.add(line.target)
        }
        for (const line of plan.lines) {
            const x = spine - ROOM.spine - ROOM.edge / 2 - line.lane * plan.gap
            const [y, z] = [branch(line.source), merge(line.target)]
            const bend = Math.min(7, Math.abs(z - y) / 2)
            const down = z > y ? 1 : -1
            const start = line.source >= 0 || y > 5 ? `M${spine},${y}` : `M${spine},${bottom(line.source)}V${y}`
            const stem = plan.straight.some(other => other.source === line.source) ? "" : `M${spine},${bottom(line.source)}V${y}`
            drawn.push(path(line, `${stem}${start}H${x + bend}Q${x},${y} ${x},${y + down * bend}` +
                `V${z - down * bend}Q${x},${z} ${x + bend},${z}H${spine}`, false, true))
            fed.add(line.target)
        }
        for (const target of fed) {
            if (!busy(target)) continue
            const all = plan.glyphs.get(target === plan.last ? -2 : plan.order[target])
            drawn.push(path({ from: -9, to: all[0].to, through: [], moved: false }, `M${spine},${merge(target)}V${top(target)}`, true))
            const words = [...new Set(all.flatMap(line => line.through))]
            if (words.length) drawn.push(joint(spine, merge(target), words, all.length))
        }
        wires.replaceChildren(...drawn)
    }
}

function path(line, way, arrow, lane = false) {
    const drawn = document.createElementNS(SVG, "path")
    drawn.setAttribute("d", way)
    drawn.classList.add("wire")
    if (line.moved) drawn.classList.add("own")
    if (lane) drawn.classList.add("lane")
    drawn.dataset.from = line.from
    drawn.dataset.to = line.to
    if (!arrow) return drawn
    const both = document.createElementNS(SVG, "g")
    const head = document.createElementNS(SVG, "path")
    const [, x, y] = /M([\d.]+),.*V([\d.]+)$/.exec(way)
    head.setAttribute("d", `M${x - 3.5},${y - 5.5}L${x},${y - 0.5}L${Number(x) + 3.5},${y - 5.5}`)
    head.classList.add("head")
    both.append(drawn, head)
    return both
}

function joint(x, y, words, count) {
    const looks = words.includes("softmax") && words.includes("bmm") // attention, written out
    const known = looks ? "attention"
        : words.find(word => GLYPHS[word] && (count > 1 || word !== "add")) ?? words.find(word => GLYPHS[word])
    const both = document.createElementNS(SVG, "g")
    both.classList.add("joint")
    const ring = document.createElementNS(SVG, "circle")
    const letter = document.createElementNS(SVG, "text")
    const hint = document.createElementNS(SVG, "title")
    for (const [name, value] of Object.entries({ cx: x, cy: y, r: 7 })) ring.setAttribute(name, value)
    for (const [name, value] of Object.entries({ x, y: y + 0.5 })) letter.setAttribute(name, value)
    letter.textContent = known ? GLYPHS[known] : "ƒ"
    hint.textContent = `In the code of the box around: ${words.map(word => WORDS[word] ?? word).join(", ")}`
    both.append(ring, letter, hint)
    return both
}

function lit(map, line) { // the lines of the box under the pointer
    const at = line?.dataset.at
    if (map.hovered === at) return
    map.hovered = at
    const parent = at === undefined ? undefined : map.parents.get(Number(at))
    for (const { wires, holder } of map.wires) {
        const mine = holder === line?.parentElement.parentElement
        for (const wire of wires.querySelectorAll(".wire")) {
            wire.classList.toggle("lit", mine && parent !== undefined && (wire.dataset.from === at || wire.dataset.to === at))
        }
    }
}

// ---- what a person does ----

function clicked(map, event) {
    const line = event.target.closest(".row")
    if (!line) return
    const at = Number(line.dataset.at)
    const node = map.data.nodes[at]
    const before = map.kept.chosen
    if (event.target.closest(".caret") && node.inside.length) return fold(map, at)
    if (!node.group) pick(map, at)
    if (node.inside.length && (node.group || before === at || !map.kept.open.has(at))) fold(map, at)
}

function pressed(map, event) {
    const line = event.target.closest(".row")
    if (!line) return
    const at = Number(line.dataset.at)
    const node = map.data.nodes[at]
    const open = map.kept.open.has(at)
    const lines = [...map.tree.querySelectorAll(".row")]
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) lines[lines.indexOf(line) + step]?.focus()
    else if (event.key === "ArrowRight" && node.inside.length && !open) fold(map, at)
    else if (event.key === "ArrowLeft" && node.inside.length && open) fold(map, at)
    else if (event.key === "ArrowLeft" && map.rows.has(map.parents.get(at))) map.rows.get(map.parents.get(at)).focus()
    else if (event.key === "Enter" || event.key === " ") node.group ? fold(map, at) : pick(map, at)
    else return
    event.preventDefault()
}

function fold(map, at) {
    const { open } = map.kept
    open.has(at) ? open.delete(at) : open.add(at)
    draw(map)
    map.rows.get(at)?.focus({ preventScroll: true })
    map.told.textContent = `${map.data.nodes[at].title} is ${open.has(at) ? "unfolded" : "folded"}`
}

function level(map, by) {
    if (!by) return
    const { open } = map.kept
    const { nodes } = map.data
    const visible = shownNodes(map)
    if (by > 0) {
        const shut = visible.filter(([at]) => nodes[at].inside.length && nodes[at].ran && !open.has(at))
        const least = Math.min(...shut.map(([, depth]) => depth))
        shut.filter(([, depth]) => depth === least).forEach(([at]) => open.add(at))
    } else {
        const wide = visible.filter(([at]) => nodes[at].inside.length && open.has(at))
        const most = Math.max(...wide.map(([, depth]) => depth))
        wide.filter(([, depth]) => depth === most).forEach(([at]) => open.delete(at))
    }
    draw(map)
}

function pick(map, at) {
    if (map.kept.chosen === at) return
    choose(map, at)
    map.report(map.data.nodes[at].name)
}

function choose(map, at) {
    map.kept.chosen = at
    let seen = at
    while (seen > 0 && !map.rows.has(seen)) seen = map.parents.get(seen) // the box that it is folded into
    for (const [place, line] of map.rows) {
        line.classList.toggle("chosen", place === at)
        line.classList.toggle("within", place === seen && seen !== at)
        line.setAttribute("aria-selected", String(place === at))
    }
    const first = map.rows.get(seen) ?? map.rows.values().next().value
    for (const line of map.rows.values()) line.tabIndex = line === first ? 0 : -1
}

// ---- numbers ----

function sized(shape, whole = false) { // of one example, without the batch
    const kept = whole || shape.length < 2 ? shape : shape.slice(1)
    return kept.join("×") || "one number"
}

function shown(what, value) {
    if (value === null || value === undefined) return "–"
    if (what === "milliseconds") return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`
    if (what === "bytes") return scaled(value, 1024, ["B", "KB", "MB", "GB", "TB"])
    return scaled(value, 1000, ["", "k", "M", "G", "T"])
}

function scaled(value, base, units) {
    let at = 0
    while (value >= base * 0.9995 && at < units.length - 1) { value /= base; at += 1 }
    const digits = at === 0 ? value.toFixed(0) : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
    return units[at] ? `${digits} ${units[at]}` : digits
}

function exact(what, value, passes) {
    if (value === null || value === undefined) return "not measured"
    if (what === "milliseconds") return passes ? `median of ${passes} passes here` : `${value.toFixed(3)} ms`
    return `${Math.round(value).toLocaleString("en")}${what === "bytes" ? " bytes" : ""}`
}

function percent(share) {
    return share >= 0.0995 ? `${(100 * share).toFixed(0)}%` : share >= 0.001 ? `${(100 * share).toFixed(1)}%` : share > 0 ? "<0.1%" : "0%"
}

function swatch(family) {
    const dot = element("span", "swatch")
    dot.style.background = `var(--family-${family})`
    return dot
}

