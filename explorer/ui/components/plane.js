// Clouds of points in motion. Python sends every frame once; all that follows happens here.
// x and y are kept as shares of the extent, from -1 to 1. While it plays, points move straight from frame to frame.

const STEPS = 4095 // of a code from one edge to the other
const FINE = 32767 // of an arrow on either side of zero
const NEAR = 14 // pixels around the pointer within which a point is found
const EDGE = 4 // pixels between the extent and the border: whole dots fit in
const HELD = 12 // trajectories at most
const TRAILS = 40 // points whose trails the toolbar shows
const HINT = "Hover a point, or use the arrow keys, to see its way in all clouds, from ring to dot; click to hold it."
const TOGGLES = { arrows: "Arrows", trails: `Trails of ${TRAILS} points`, behind: "Data" }

const PLANE = {
    name: "plane",
    html: `
        <div class="toolbar" role="group" aria-label="What is drawn"></div>
        <div class="clouds"></div>
        <p class="hint"></p>`,
    fill: view => {
        ;[, view.toolbar, view.holder, view.hint] = view.root.children
        view.hover = null
        fillToolbar(view)
    },
    decode: async data => data.clouds.map(decodeCloud),
    take, draw,
    spoken: (view, at) => view.clouds
        ?.map(({ labels }) => labels[Math.round(placeOf(view, labels.length, at))]).join("; "),
}

export default component => show(PLANE, component)

// ---- data ----

function decodePoints(text) { // x and y in turn
    const bytes = decodeBytes(text)
    const points = new Float32Array((bytes.length / 3) * 2)
    for (let from = 0, to = 0; from < bytes.length; from += 3) {
        const word = bytes[from] | (bytes[from + 1] << 8) | (bytes[from + 2] << 16)
        points[to++] = ((word & 4095) / STEPS) * 2 - 1
        points[to++] = ((word >> 12) / STEPS) * 2 - 1
    }
    return points
}

function decodeCloud(sent) {
    return {
        ...sent,
        points: decodePoints(sent.points), // (F, N, 2)
        behind: sent.behind && decodePoints(sent.behind),
        places: sent.places && decodePoints(sent.places),
        arrows: sent.arrows && Float32Array.from(new Int16Array(decodeBytes(sent.arrows).buffer), code => code / FINE),
    }
}

function take(view, data, clouds) {
    view.root.style.setProperty("--side", `${data.side}px`)
    Object.assign(view, { side: data.side, extent: data.extent, width: 0, hover: null })
    view.clouds = clouds.map(cloud => makeCloud(view, cloud))
    view.holder.replaceChildren(...view.clouds.map(cloud => cloud.node))
    view.kept.shown ??= { arrows: true, trails: false, behind: true }
    const most = Math.max(...clouds.map(cloud => cloud.count))
    view.radius = Math.max(1.5, Math.min(3.2, 70 / Math.sqrt(most))) // of a point, alike in all clouds
    view.kept.held = (view.kept.held ?? []).filter(index => index < most)
    view.dots = null
    settleToolbar(view)
    settleBar(view.bar)
}

function makeCloud(view, sent) {
    const node = element("figure", "cloud")
    const head = element("h4", "", sent.title && `${sent.title}\u2002`)
    head.append(element("small", "", sent.note))
    head.hidden = !head.textContent
    const [label, canvas, full] = [element("figcaption", "label"), element("canvas"), element("p", "full")]
    node.append(head, label, canvas, full)
    canvas.tabIndex = 0
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", [sent.title, `${sent.count} points on their way`].filter(Boolean).join(": "))
    const cloud = { ...sent, node, label, canvas, full, now: new Float32Array(2 * sent.count) }
    const digits = length => (length < 1e4 ? length.toPrecision(3) : length.toExponential(1))
    cloud.lengths = sent.full?.map(length => `A full arrow is ${digits(length)} or longer`)
    listen(view, cloud)
    return cloud
}

// ---- drawing ----

function draw(view) {
    if (!view.clouds) return
    const inks = inksOf(view)
    if (view.dots?.inks !== inks) { // a new theme
        view.dots = { inks, made: new Map() }
        fillLegend(view, inks)
    }
    const size = Math.min(view.side, view.root.clientWidth)
    if (!size) return
    for (const cloud of view.clouds) {
        const place = placeOf(view, cloud.labels.length, view.bar.at)
        cloud.frame = Math.round(place)
        move(cloud, view.bar.playing ? place : cloud.frame)
        steady(cloud.label, cloud.labels[cloud.frame], widest(cloud.labels))
        paintCloud(view, cloud, size, inks)
    }
    const index = view.hover?.index
    view.hint.textContent = index === undefined ? HINT : told(view, view.hover.cloud, index)
}

function move(cloud, place) { // all points to a place between two frames
    const [from, to, share] = [Math.floor(place), Math.ceil(place), place % 1]
    const { points, now } = cloud
    const [start, end] = [from * now.length, to * now.length]
    for (let at = 0; at < now.length; at++) {
        now[at] = points[start + at] + (points[end + at] - points[start + at]) * share
    }
    cloud.place = place
}

function paintCloud(view, cloud, size, inks) {
    const { shown, held } = view.kept
    const pen = resize(cloud.canvas, size, size)
    cloud.canvas.style.width = cloud.canvas.style.height = `${size}px`
    const reach = size / 2 - EDGE
    const x = (cloud.x = share => size / 2 + share * reach)
    const y = (cloud.y = share => size / 2 - share * reach)
    pen.clearRect(0, 0, size, size)
    drawGrid(pen, cloud, size, view.extent, inks)
    if (shown.behind && cloud.behind) {
        const faint = dotOf(view, inks.text, 1.3)
        pen.globalAlpha = 0.28
        const { behind } = cloud
        for (let at = 0; at < behind.length; at += 2) stamp(pen, faint, x(behind[at]), y(behind[at + 1]))
    }
    cloud.full.hidden = !cloud.arrows
    if (cloud.arrows) {
        steady(cloud.full, shown.arrows ? cloud.lengths[cloud.frame] : "", widest(cloud.lengths))
        if (shown.arrows) drawArrows(pen, cloud, size, inks)
    }
    const every = new Set(view.hover ? [...held, view.hover.index] : held)
    const followed = [...every].filter(index => index < cloud.count)
    const edge = 1 - 1 / STEPS
    for (let index = 0; index < cloud.count; index++) {
        const [across, up] = [cloud.now[2 * index], cloud.now[2 * index + 1]]
        const outside = Math.abs(across) > edge || Math.abs(up) > edge
        pen.globalAlpha = (followed.length ? 0.3 : 0.75) * (outside ? 0.6 : 1)
        stamp(pen, dotOf(view, colourOf(cloud, index, inks), view.radius, outside), x(across), y(up))
    }
    pen.globalAlpha = 1
    if (shown.trails) for (let at = 0; at < TRAILS; at++) drawTrail(pen, cloud, (at * 7919 + 13) % cloud.count, inks)
    for (const index of followed) drawWay(pen, cloud, index, wayColour(cloud, index, held, inks), inks)
}

function drawGrid(pen, { x, y }, size, extent, inks) { // faint lines at whole numbers, zero a little stronger
    const step = 10 ** Math.ceil(Math.log10(extent / 6))
    pen.lineWidth = 1
    pen.strokeStyle = inks.line
    for (let value = -Math.floor(extent / step) * step; value <= extent; value += step) {
        const [across, down] = [x(value / extent), y(value / extent)].map(at => Math.round(at) + 0.5)
        pen.globalAlpha = Math.abs(value) < step / 2 ? 1 : 0.45
        pen.beginPath()
        pen.moveTo(across, 0)
        pen.lineTo(across, size)
        pen.moveTo(0, down)
        pen.lineTo(size, down)
        pen.stroke()
    }
    pen.globalAlpha = 0.6
    pen.fillStyle = inks.text
    pen.font = inks.font
    pen.textBaseline = "bottom"
    for (const [align, at, value] of [["left", 5, -extent], ["right", size - 5, extent]]) {
        pen.textAlign = align
        pen.fillText(String(value).replace("-", "−"), at, size / 2 - 2)
    }
    pen.globalAlpha = 1
}

function drawArrows(pen, cloud, size, inks) {
    const { places, arrows, place } = cloud
    const longest = (0.85 * size) / Math.sqrt(places.length / 2) // as if they stood on a square grid
    const [start, end, share] = [Math.floor(place) * places.length, Math.ceil(place) * places.length, place % 1]
    pen.strokeStyle = inks.text
    pen.globalAlpha = 0.45
    pen.lineWidth = 1.1
    pen.beginPath()
    for (let at = 0; at < places.length; at += 2) {
        const along = arrows[start + at] + (arrows[end + at] - arrows[start + at]) * share
        const up = arrows[start + at + 1] + (arrows[end + at + 1] - arrows[start + at + 1]) * share
        const [x, y] = [cloud.x(places[at]), cloud.y(places[at + 1])]
        const [dx, dy] = [along * longest, -up * longest]
        const barb = Math.min(0.4, 4 / (Math.hypot(dx, dy) || 1)) // of the arrow, 4 pixels at most
        pen.moveTo(x, y)
        pen.lineTo(x + dx, y + dy)
        pen.moveTo(x + dx - barb * (dx + 0.7 * dy), y + dy - barb * (dy - 0.7 * dx))
        pen.lineTo(x + dx, y + dy)
        pen.lineTo(x + dx - barb * (dx - 0.7 * dy), y + dy - barb * (dy + 0.7 * dx))
    }
    pen.stroke()
    pen.globalAlpha = 1
}

function drawTrail(pen, cloud, index, inks) { // the way so far
    pen.strokeStyle = colourOf(cloud, index, inks)
    pen.lineWidth = 1.25
    pen.lineJoin = "round"
    pen.beginPath()
    trace(pen, cloud, index, cloud.place)
    pen.lineTo(cloud.x(cloud.now[2 * index]), cloud.y(cloud.now[2 * index + 1]))
    pen.stroke()
}

function drawWay(pen, cloud, index, colour, inks) { // the whole way, its two ends and where it is now
    const last = cloud.labels.length - 1
    const page = `rgb(${inks.page})`
    pen.lineJoin = "round"
    for (const [thick, ink] of [[5, page], [2, colour]]) {
        pen.lineWidth = thick
        pen.strokeStyle = ink
        pen.beginPath()
        trace(pen, cloud, index, last)
        pen.stroke()
    }
    const ring = (x, y, radius, fill, line) => {
        pen.beginPath()
        pen.arc(x, y, radius, 0, 7)
        pen.fillStyle = fill
        pen.strokeStyle = line
        pen.lineWidth = 2
        pen.fill()
        pen.stroke()
    }
    ring(...spot(cloud, index, 0), 4, page, colour)
    ring(...spot(cloud, index, last), 4, colour, colour)
    ring(cloud.x(cloud.now[2 * index]), cloud.y(cloud.now[2 * index + 1]), 5, colour, inks.text)
}

function trace(pen, cloud, index, to) {
    for (let frame = 0; frame <= to; frame++) pen.lineTo(...spot(cloud, index, frame))
}

function spot(cloud, index, frame) { // on the canvas
    const at = 2 * (frame * cloud.count + index)
    return [cloud.x(cloud.points[at]), cloud.y(cloud.points[at + 1])]
}

function colourOf(cloud, index, inks) {
    return inks.categorical[(cloud.groups?.[index] ?? 0) % inks.categorical.length]
}

function wayColour(cloud, index, held, inks) { // without groups each way that is held has a colour of its own
    if (cloud.groups) return colourOf(cloud, index, inks)
    const at = held.includes(index) ? held.indexOf(index) : held.length
    return inks.categorical[(1 + at) % inks.categorical.length]
}

function dotOf(view, colour, radius, hollow = false) { // a dot drawn once and stamped thousands of times
    const name = `${colour} ${radius} ${hollow} ${window.devicePixelRatio}`
    if (!view.dots.made.has(name)) {
        const size = 2 * radius + 2
        const canvas = element("canvas")
        const pen = resize(canvas, size, size)
        pen.beginPath()
        pen.arc(size / 2, size / 2, hollow ? radius - 0.5 : radius, 0, 7)
        pen.fillStyle = pen.strokeStyle = colour
        hollow ? pen.stroke() : pen.fill()
        view.dots.made.set(name, { canvas, size })
    }
    return view.dots.made.get(name)
}

function stamp(pen, { canvas, size }, x, y) {
    pen.drawImage(canvas, x - size / 2, y - size / 2, size, size)
}

// ---- what the person does ----

function listen(view, cloud) {
    const { canvas } = cloud
    const near = event => {
        const box = canvas.getBoundingClientRect()
        return nearest(cloud, event.clientX - box.left, event.clientY - box.top)
    }
    canvas.addEventListener("pointermove", event => point(view, cloud, near(event)))
    canvas.addEventListener("pointerleave", () => point(view, cloud, null))
    canvas.addEventListener("blur", () => point(view, cloud, null))
    canvas.addEventListener("click", event => hold(view, near(event)))
    canvas.addEventListener("keydown", event => {
        const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key]
        if (by) {
            const index = view.hover ? view.hover.index + by : 0
            point(view, cloud, (index + cloud.count) % cloud.count)
            view.told.textContent = told(view, cloud, view.hover.index)
        } else if ((event.key === "Enter" || event.key === " ") && view.hover) hold(view, view.hover.index)
        else if (event.key === "Escape") clear(view)
        else return
        event.preventDefault()
    })
}

function nearest(cloud, x, y) {
    let [found, best] = [null, NEAR ** 2]
    for (let index = 0; index < cloud.count; index++) {
        const [across, down] = [cloud.x(cloud.now[2 * index]) - x, cloud.y(cloud.now[2 * index + 1]) - y]
        const distance = across ** 2 + down ** 2
        if (distance < best) [found, best] = [index, distance]
    }
    return found
}

function point(view, cloud, index) {
    view.hover = index === null ? null : { cloud, index }
    schedule(view)
}

function hold(view, index) {
    if (index === null) return
    const { held } = view.kept
    view.kept.held = held.includes(index) ? held.filter(other => other !== index) : [...held, index].slice(-HELD)
    settleToolbar(view)
    schedule(view)
}

function clear(view) {
    view.kept.held = []
    view.hover = null
    settleToolbar(view)
    schedule(view)
}

function told(view, cloud, index) {
    const last = cloud.labels.length - 1
    const at = (values, from) => `(${[0, 1].map(axis => decimal(values[from + axis] * view.extent, 2)).join(", ")})`
    const [start, end] = [0, last].map(frame => at(cloud.points, 2 * (frame * cloud.count + index)))
    const named = cloud.title ? ` in ${cloud.title}` : ""
    return `Point ${index}${named}: starts at ${start}, is now at ${at(cloud.now, 2 * index)}, ends at ${end}.`
}

function fillToolbar(view) {
    view.checks = {}
    for (const [name, text] of Object.entries(TOGGLES)) {
        const [label, input] = [element("label", "check"), element("input")]
        input.type = "checkbox"
        input.addEventListener("change", () => {
            view.kept.shown = { ...view.kept.shown, [name]: input.checked }
            schedule(view)
        })
        label.append(input, text)
        view.toolbar.append(label)
        view.checks[name] = { label, input }
    }
    view.clear = element("button", "clear", "Clear")
    view.clear.type = "button"
    view.clear.addEventListener("click", () => clear(view))
    view.groups = element("span", "groups")
    view.toolbar.append(view.clear, view.groups)
}

function settleToolbar(view) {
    for (const [name, { label, input }] of Object.entries(view.checks)) {
        input.checked = view.kept.shown[name]
        label.hidden = name !== "trails" && !view.clouds.some(cloud => cloud[name])
    }
    const { held } = view.kept
    view.clear.style.visibility = held.length ? "visible" : "hidden"
    view.clear.textContent = `Clear ${held.length} held`
}

function fillLegend(view, { categorical }) {
    const named = view.clouds.flatMap(cloud => cloud.names.map((name, group) =>
        ({ name, colour: categorical[group % categorical.length] })))
    const once = [...new Map(named.map(entry => [`${entry.name} ${entry.colour}`, entry])).values()]
    view.groups.replaceChildren(...once.map(({ name, colour }) => {
        const entry = element("span", "entry", name)
        entry.prepend(element("i"))
        entry.firstChild.style.background = colour
        return entry
    }))
}
