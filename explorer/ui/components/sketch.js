// Drawing by hand: a mask painted over a picture, or points sprayed on the plane. All strokes happen here, on one
// canvas; what is drawn is reported to Python as state `drawn` when a stroke ends.

const UNDONE = 50 // strokes that can be undone
const VEIL = 0.55 // alpha of what is painted
const STEPS = 32767 // of a coordinate on either side of zero
const GAP = 0.01 // of the half side, for which a moving pointer leaves one point
const PULSE = 50 // milliseconds; a resting pointer leaves PULSE_POINTS in each: 60 a second
const PULSE_POINTS = 3
const CLASSES = ["A", "B"]

const mounted = new WeakMap() // the place on the page → what is drawn there
const remembered = new Map() // key → drawing, its past and the tools, which outlive a remount

export default function sketch({ data, parentElement, setStateValue }) {
    const pad = mounted.get(parentElement) ?? mount(KINDS[data.kind], data, parentElement)
    const turn = (pad.turn = (pad.turn ?? 0) + 1)
    pad.report = () => setStateValue("drawn", { seed: pad.kept.seed, ...pad.kind.encode(pad.kept.drawing) })
    take(pad, data)
    return () => turn === pad.turn && unmount(pad) // an overtaken call must not clear what its successor draws
}

function mount(kind, data, place) {
    const root = element("div", `sketch ${data.kind}`)
    root.innerHTML = `
        <canvas></canvas>
        <div class="panel" role="group" aria-label="Drawing tools">
            <div><p class="count"></p><p class="hint">${kind.hint}</p></div></div>
        <div class="unseen" aria-live="polite"></div>`
    const [canvas, panel, told] = root.children
    const count = panel.querySelector(".count")
    const pad = { kind, place, root, canvas, count, told, cursor: null, stroke: null, frame: 0 }
    pad.tools = segments(pad, kind.tools)
    pad.slider = slider(pad, kind.size)
    pad.undo = button("Undo", () => undo(pad))
    pad.undo.title = "Take back the last stroke (Ctrl+Z)"
    pad.clear = button("Clear", () => replace(pad, pad.kind.empty(pad.data), "Cleared"))
    const buttons = element("div", "row")
    buttons.append(pad.undo, pad.clear)
    panel.prepend(pad.tools, pad.slider.label, buttons)
    kind.fill(pad, buttons, data)
    listen(pad)
    pad.resized = new ResizeObserver(() => schedule(pad))
    pad.resized.observe(canvas)
    pad.themed = new MutationObserver(() => schedule(pad))
    const around = place.host?.parentElement ?? place.parentElement
    if (around) pad.themed.observe(around, { attributes: true }) // Streamlit renames its class as the theme changes
    place.append(root)
    mounted.set(place, pad)
    return pad
}

function unmount(pad) {
    if (pad.stroke) pad.kept.drawing = pad.stroke.before // Python has not heard of it
    pad.stroke = null
    clearInterval(pad.pulse)
    pad.resized.disconnect()
    pad.themed.disconnect()
    cancelAnimationFrame(pad.frame)
    pad.root.remove() // the listeners are on what is inside, and go with it
    mounted.delete(pad.place)
}

function take(pad, data) {
    pad.data = data
    if (pad.kept?.seed !== data.seed) {
        const before = remembered.get(data.key)
        const fresh = () => ({
            seed: data.seed, drawing: pad.kind.decode(data.start, data), past: [],
            tool: Object.keys(pad.kind.tools)[0], size: pad.kind.size(data).usual,
        })
        pad.kept = before?.seed === data.seed ? before : fresh()
        remembered.set(data.key, pad.kept)
        pad.stroke = pad.cursor = null
    }
    pad.kind.take?.(pad, data)
    settle(pad)
}

// ---- strokes ----

function listen(pad) {
    const { canvas, root } = pad
    canvas.addEventListener("pointerdown", event => {
        if (event.button !== 0 || pad.stroke) return // one finger draws, and the first button
        canvas.setPointerCapture(event.pointerId)
        begin(pad, event.pointerId)
        pad.cursor = pad.stroke.at = placeOf(pad, event)
        pad.kind.press(pad, pad.cursor, pad.cursor)
        clearInterval(pad.pulse)
        if (pad.kind.rest) pad.pulse = setInterval(() => pad.kind.rest(pad), PULSE)
        schedule(pad)
    })
    canvas.addEventListener("pointermove", event => {
        if (pad.stroke && pad.stroke.pointer !== event.pointerId) return
        const passed = event.getCoalescedEvents?.() ?? []
        for (const each of pad.stroke ? (passed.length ? passed : [event]) : []) {
            const to = placeOf(pad, each)
            pad.kind.move(pad, pad.stroke.at, to)
            pad.stroke.at = to
        }
        pad.cursor = placeOf(pad, event)
        schedule(pad)
    })
    canvas.addEventListener("lostpointercapture", event => { // the pointer was lifted, or taken away
        clearInterval(pad.pulse)
        if (pad.stroke?.pointer !== event.pointerId) return
        end(pad)
        if (event.pointerType !== "mouse") pad.cursor = null
    })
    const leave = () => { if (!pad.stroke) { pad.cursor = null; schedule(pad) } }
    canvas.addEventListener("pointerleave", leave)
    canvas.addEventListener("blur", leave)
    root.addEventListener("keydown", event => {
        if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return
        event.preventDefault()
        event.stopPropagation()
        undo(pad)
    })
}

function placeOf(pad, event) { // shares of the canvas, from its upper left corner
    const box = pad.canvas.getBoundingClientRect()
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height }
}

function begin(pad, pointer = null) {
    pad.stroke = { pointer, before: pad.kept.drawing.slice(), touched: false, credit: 0 }
}

function end(pad) {
    const { before, touched } = pad.stroke
    pad.stroke = null
    if (touched) changed(pad, before)
    else schedule(pad)
}

function changed(pad, before) {
    pad.kept.past.push(before)
    if (pad.kept.past.length > UNDONE) pad.kept.past.shift()
    publish(pad)
}

function replace(pad, drawing, told) {
    if (pad.stroke) return
    const before = pad.kept.drawing
    pad.kept.drawing = drawing
    changed(pad, before)
    pad.told.textContent = `${told}. ${pad.count.textContent}`
}

function undo(pad) {
    if (pad.stroke || !pad.kept.past.length) return
    pad.kept.drawing = pad.kept.past.pop()
    publish(pad)
    pad.told.textContent = `Undone. ${pad.count.textContent}`
}

function publish(pad) {
    settle(pad)
    pad.report()
}

function settle(pad) { // the controls show the state, also one that came back
    const { kept, data, slider } = pad
    const { least, most, step, text } = pad.kind.size(data)
    for (const radio of pad.tools.querySelectorAll("input")) radio.checked = radio.value === kept.tool
    Object.assign(slider.input, { min: least, max: most, step, value: kept.size })
    slider.shown.textContent = text(kept.size)
    slider.input.setAttribute("aria-valuetext", text(kept.size))
    enable(pad, pad.undo, kept.past.length > 0)
    enable(pad, pad.clear, kept.drawing.some(Boolean))
    count(pad)
    schedule(pad)
}

function enable(pad, button, on) {
    if (!on && button.matches(":focus")) pad.canvas.focus({ preventScroll: true }) // Ctrl+Z is still heard
    button.disabled = !on
}

function count(pad) {
    pad.count.textContent = pad.kind.count(pad.kept.drawing, pad.data)
}

// ---- drawing ----

function schedule(pad) { // at most once a frame
    pad.frame ||= requestAnimationFrame(() => {
        pad.frame = 0
        draw(pad)
    })
}

function draw(pad) {
    const { canvas, kind, kept } = pad
    if (!kept || !canvas.clientWidth) return
    const unit = window.devicePixelRatio || 1
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.round(side * unit))
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    const style = getComputedStyle(pad.root)
    const read = name => style.getPropertyValue(name).trim()
    const dark = luminance(rgb(read("--st-background-color") || "white")) < 128
    const ink = { accent: read("--st-primary-color"), text: read("--st-text-color"), line: read("--st-border-color"),
        page: read("--st-background-color"), font: read("--st-font"), dark, unit }
    count(pad)
    kind.draw(pad, canvas.getContext("2d"), ink)
}

function twice(pen, path, width, inside, outside) { // a line in another is seen on anything
    for (const [wide, colour] of [[2.2 * width, outside], [width, inside]]) {
        pen.lineWidth = wide
        pen.strokeStyle = colour
        pen.stroke(path)
    }
}

// ---- a mask: one byte a pixel, 0 or 1 ----

const mask = {
    tools: { paint: "Paint", erase: "Erase" },
    hint: "Paint with the mouse, a pen or a finger. Arrow keys move the brush, Space paints or erases.",

    size({ height, width }) { // of the brush, across
        const side = Math.max(height, width)
        const text = value => `${value} px`
        const most = Math.max(2, Math.round(side / 3))
        return { label: "Brush", least: 1, most, step: 1, usual: Math.max(1, Math.round(side / 12)), text }
    },
    empty: ({ height, width }) => new Uint8Array(height * width),
    count(drawing) {
        const painted = drawing.reduce((sum, one) => sum + one, 0)
        return `${grouped(painted)} of ${grouped(drawing.length)} pixels painted`
    },
    encode(drawing) {
        const packed = new Uint8Array(Math.ceil(drawing.length / 8))
        drawing.forEach((one, at) => { packed[at >> 3] |= one << (7 - (at & 7)) })
        return { bits: encodeBytes(packed) }
    },
    decode({ bits }, { height, width }) {
        const packed = decodeBytes(bits)
        return Uint8Array.from({ length: height * width }, (_, at) => (packed[at >> 3] >> (7 - (at & 7))) & 1)
    },

    fill(pad, buttons) {
        const { canvas } = pad
        buttons.append(button("Fill", () => replace(pad, mask.empty(pad.data).fill(1), "All painted")))
        canvas.tabIndex = 0
        canvas.setAttribute("role", "application")
        canvas.setAttribute("aria-label", "Mask over the picture: arrow keys move the brush, Space paints or erases")
        canvas.addEventListener("keydown", event => steer(pad, event))
        canvas.addEventListener("focus", () => {
            if (!canvas.matches(":focus-visible") || pad.cursor) return
            pad.cursor = { x: 0.5, y: 0.5 }
            schedule(pad)
        })
        pad.picture = new Image()
        pad.picture.addEventListener("load", () => schedule(pad))
    },
    take(pad, { height, width, side, picture }) {
        const address = `data:image/png;base64,${picture}`
        if (pad.picture.src !== address) pad.picture.src = address
        pad.canvas.style.setProperty("--wide", `${(side * width) / Math.max(height, width)}px`)
        pad.canvas.style.aspectRatio = `${width} / ${height}`
    },

    press: (pad, at) => mask.move(pad, at, at),
    move(pad, from, to) {
        const value = pad.kept.tool === "paint" ? 1 : 0
        const [start, goal] = [brushAt(pad, from), brushAt(pad, to)]
        const steps = Math.max(Math.abs(goal.row - start.row), Math.abs(goal.column - start.column), 1)
        for (let step = 0; step <= steps; step++) {
            const between = (a, b) => Math.round(a + ((b - a) * step) / steps)
            stamp(pad, between(start.row, goal.row), between(start.column, goal.column), value)
        }
    },

    draw(pad, pen, { accent, unit }) {
        const { height, width } = pad.data
        const { drawing, size } = pad.kept
        const scale = pad.canvas.width / width
        const line = (1.5 * unit) / scale
        pen.setTransform(1, 0, 0, 1, 0, 0)
        pen.clearRect(0, 0, pad.canvas.width, pad.canvas.height)
        pen.imageSmoothingEnabled = scale < 1
        if (pad.picture.complete && pad.picture.naturalWidth) {
            pen.drawImage(pad.picture, 0, 0, pad.canvas.width, pad.canvas.height)
        }
        pen.drawImage(veil(drawing, width, height, rgb(accent)), 0, 0, pad.canvas.width, pad.canvas.height)
        pen.setTransform(scale, 0, 0, scale, 0, 0)
        pen.lineCap = "square"
        const inside = (row, column) =>
            row >= 0 && column >= 0 && row < height && column < width && drawing[row * width + column]
        twice(pen, contour(inside, 0, 0, height, width), line, "white", "rgba(0, 0, 0, 0.5)")
        if (!pad.cursor) return
        const { row, column } = brushAt(pad, pad.cursor)
        const [top, left] = [row - (size >> 1), column - (size >> 1)]
        const brush = contour((y, x) => under(y - top, x - left, size), top, left, size, size)
        twice(pen, brush, line, "#17212e", "white") // the other way round than the mask
    },
}

function brushAt(pad, { x, y }) { // an odd brush has its centre in a pixel, an even one between pixels
    const nearest = pad.kept.size % 2 ? Math.floor : Math.round
    return { row: nearest(y * pad.data.height), column: nearest(x * pad.data.width) }
}

function under(y, x, size) { // is the pixel within a round brush, counted from its corner?
    if (x < 0 || y < 0 || x >= size || y >= size) return false
    return (x + 0.5 - size / 2) ** 2 + (y + 0.5 - size / 2) ** 2 <= (size / 2) ** 2
}

function stamp(pad, row, column, value) {
    const { data: { height, width }, kept: { drawing, size }, stroke } = pad
    const [top, left] = [row - (size >> 1), column - (size >> 1)]
    for (let y = Math.max(0, top); y < Math.min(height, top + size); y++) {
        for (let x = Math.max(0, left); x < Math.min(width, left + size); x++) {
            if (drawing[y * width + x] === value || !under(y - top, x - left, size)) continue
            drawing[y * width + x] = value
            stroke.touched = true
        }
    }
}

function steer(pad, event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    if ((!move && event.key !== " ") || pad.stroke || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    const { height, width } = pad.data
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value))
    const { x, y } = pad.cursor ?? { x: 0.5, y: 0.5 }
    let [row, column] = [clamp(Math.floor(y * height), height), clamp(Math.floor(x * width), width)]
    if (move) {
        const reach = event.shiftKey ? 8 : 1
        row = clamp(row + reach * move[0], height)
        column = clamp(column + reach * move[1], width)
    }
    pad.cursor = { x: (column + 0.25) / width, y: (row + 0.25) / height } // rounds to this pixel, too
    const painted = () => pad.kept.drawing[row * width + column]
    if (event.key === " ") {
        begin(pad)
        stamp(pad, row, column, painted() ? 0 : 1)
        end(pad)
    } else schedule(pad)
    pad.told.textContent = `Row ${row}, column ${column}: ${painted() ? "painted" : "not painted"}`
}

function veil(drawing, width, height, [red, green, blue]) {
    const pen = sheet(width, height)
    const image = pen.createImageData(width, height)
    const pixels = new Uint32Array(image.data.buffer)
    const [colour] = new Uint32Array(Uint8Array.of(red, green, blue, 255 * VEIL).buffer)
    drawing.forEach((one, at) => { pixels[at] = one * colour })
    pen.putImageData(image, 0, 0)
    return pen.canvas
}

function contour(inside, top, left, height, width) { // along the edges of the pixels
    const path = new Path2D()
    const edge = (x, y, dx, dy) => { path.moveTo(x, y); path.lineTo(x + dx, y + dy) }
    for (let row = top; row <= top + height; row++) {
        for (let column = left; column <= left + width; column++) {
            const here = !!inside(row, column)
            if (here !== !!inside(row - 1, column)) edge(column, row, 1, 0)
            if (here !== !!inside(row, column - 1)) edge(column, row, 0, 1)
        }
    }
    return path
}

// ---- points: [x, y, class], coordinates from -STEPS to STEPS ----

const points = {
    tools: { 0: "A", 1: "B", erase: "Erase" },
    hint: "Press and move to spray points; stay in one place for more of them.",

    size: () => ({
        label: "Spread", least: 0.01, most: 0.15, step: 0.01, usual: 0.04, text: value => Number(value).toFixed(2),
    }), // standard deviation, as a share of the half side
    empty: () => [],
    count(drawing, { most }) {
        const each = CLASSES.map((name, label) => `${name} ${grouped(drawing.filter(dot => dot[2] === label).length)}`)
        const all = drawing.length < most ? `${grouped(drawing.length)} of ${grouped(most)}` : `Full: ${grouped(most)}`
        return [`${all} points`, ...(drawing.length ? each : [])].join(" · ")
    },
    encode(drawing) {
        const codes = new DataView(new ArrayBuffer(4 * drawing.length))
        drawing.forEach(([x, y], at) => { codes.setInt16(4 * at, x, true); codes.setInt16(4 * at + 2, y, true) })
        return { codes: encodeBytes(new Uint8Array(codes.buffer)), labels: encodeBytes(drawing.map(dot => dot[2])) }
    },
    decode(sent) {
        const codes = new DataView(decodeBytes(sent.codes).buffer)
        return Array.from(decodeBytes(sent.labels), (label, at) =>
            [codes.getInt16(4 * at, true), codes.getInt16(4 * at + 2, true), label])
    },

    fill(pad, buttons, data) {
        pad.canvas.tabIndex = -1 // takes the focus from a click, so that Ctrl+Z is heard
        pad.canvas.setAttribute("role", "img")
        const ready = element("div", "row")
        ready.setAttribute("role", "group")
        ready.setAttribute("aria-label", "Ready-made drawings")
        ready.append(element("span", "caption", "Or start from"))
        for (const name of Object.keys(data.ready)) {
            ready.append(button(name, () => replace(pad, points.decode(pad.data.ready[name]), name)))
        }
        buttons.after(ready)
        for (const [at, label] of [...pad.tools.querySelectorAll("span")].slice(0, 2).entries()) {
            label.prepend(element("i"))
            label.style.setProperty("--colour", `var(--class-${at})`)
        }
    },
    take(pad, { side }) {
        pad.canvas.style.setProperty("--wide", `${side}px`)
        pad.canvas.style.aspectRatio = "1"
    },

    press(pad, at) {
        if (pad.kept.tool === "erase") wipe(pad, at, at)
        else spray(pad, at, at, 1)
        pad.stroke.moved = performance.now()
    },
    move(pad, from, to) {
        if (pad.kept.tool === "erase") wipe(pad, from, to)
        else spray(pad, from, to, (2 * Math.hypot(to.x - from.x, to.y - from.y)) / GAP)
        pad.stroke.moved = performance.now()
    },
    rest(pad) {
        if (!pad.stroke || pad.kept.tool === "erase" || performance.now() - pad.stroke.moved < 3 * PULSE) return
        spray(pad, pad.stroke.at, pad.stroke.at, PULSE_POINTS)
        schedule(pad)
    },

    draw(pad, pen, { dark, line, text, page, font, unit }) {
        const { canvas, data: { extent, colours, most }, kept: { drawing, tool, size } } = pad
        const side = canvas.width
        const ink = colours[dark ? "dark" : "light"]
        ink.forEach((colour, at) => pad.root.style.setProperty(`--class-${at}`, colour))
        pad.root.classList.toggle("full", drawing.length >= most)
        canvas.setAttribute("aria-label", `The plane from ${-extent} to ${extent}: ${pad.count.textContent}`)
        pen.clearRect(0, 0, side, side)
        pen.lineWidth = unit
        pen.strokeStyle = line
        for (const share of [0.25, 0.5, 0.75]) {
            const at = Math.round(share * side) + (unit % 2) / 2
            pen.globalAlpha = share === 0.5 ? 1 : 0.5
            pen.stroke(new Path2D(`M0 ${at}H${side}M${at} 0V${side}`))
        }
        pen.globalAlpha = 0.6
        pen.fillStyle = text
        pen.font = `${11 * unit}px ${font || "sans-serif"}`
        const [middle, gap] = [side / 2, 5 * unit]
        const write = (value, x, y, align, baseline) => {
            Object.assign(pen, { textAlign: align, textBaseline: baseline })
            pen.fillText(String(value).replace("-", "−"), x, y)
        }
        write(-extent, gap, middle + gap, "left", "top")
        write(extent, side - gap, middle + gap, "right", "top")
        write(extent, middle + gap, gap, "left", "top")
        write(-extent, middle + gap, side - gap, "left", "bottom")
        if (!drawing.length && !pad.stroke) {
            pen.font = `${14 * unit}px ${font || "sans-serif"}`
            Object.assign(pen, { textAlign: "center", textBaseline: "middle", lineWidth: 12 * unit, strokeStyle: page })
            pen.globalAlpha = 1
            pen.strokeText("Draw here", middle, middle)
            pen.globalAlpha = 0.7
            pen.fillText("Draw here", middle, middle)
        }
        pen.globalAlpha = 0.8
        const where = code => ((1 + code / STEPS) * side) / 2
        ink.forEach((colour, label) => {
            pen.fillStyle = colour
            for (const [x, y, which] of drawing) {
                if (which !== label) continue
                pen.beginPath()
                pen.arc(where(x), where(-y), 2 * unit, 0, 2 * Math.PI)
                pen.fill()
            }
        })
        pen.globalAlpha = 1
        if (!pad.cursor) return
        const circle = new Path2D()
        circle.arc(pad.cursor.x * side, pad.cursor.y * side, (reach(size) * side) / 2, 0, 2 * Math.PI)
        const halo = dark ? "rgba(0, 0, 0, 0.6)" : "rgba(255, 255, 255, 0.8)"
        twice(pen, circle, 1.5 * unit, ink[tool] ?? text, halo)
    },
}

function spray(pad, from, to, amount) {
    const { kept: { drawing, tool, size }, data: { most }, stroke } = pad
    stroke.credit += amount
    for (; stroke.credit >= 1; stroke.credit--) {
        const along = Math.random()
        const strayed = (a, b) => 2 * (a + (b - a) * along) - 1 + size * gaussian()
        const [x, y] = [strayed(from.x, to.x), -strayed(from.y, to.y)]
        if (Math.abs(x) > 1 || Math.abs(y) > 1 || drawing.length >= most) continue
        drawing.push([Math.round(x * STEPS), Math.round(y * STEPS), Number(tool)])
        stroke.touched = true
    }
}

function wipe(pad, from, to) {
    const { kept, stroke } = pad
    const [ax, ay, bx, by] = [2 * from.x - 1, 1 - 2 * from.y, 2 * to.x - 1, 1 - 2 * to.y]
    const [dx, dy] = [bx - ax, by - ay]
    const far = ([x, y]) => { // from the way of the pointer
        const along = ((x / STEPS - ax) * dx + (y / STEPS - ay) * dy) / (dx * dx + dy * dy || 1)
        const at = Math.max(0, Math.min(1, along))
        return Math.hypot(x / STEPS - ax - at * dx, y / STEPS - ay - at * dy) > reach(kept.size)
    }
    const left = kept.drawing.filter(far)
    stroke.touched ||= left.length < kept.drawing.length
    kept.drawing = left
}

function reach(size) { // of the circle under the pointer: most points fall into it, and all in it are erased
    return 2 * Math.max(0.015, size)
}

function gaussian() { // Box and Muller
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
}

const KINDS = { mask, points }

// ---- small hands ----

function segments(pad, choices) {
    const set = element("fieldset", "segments")
    set.append(element("legend", "unseen", "Tool"))
    for (const [value, text] of Object.entries(choices)) {
        const [label, input, face] = [element("label"), element("input"), element("span", "", text)]
        Object.assign(input, { type: "radio", name: "tool", value })
        input.addEventListener("change", () => { pad.kept.tool = value; settle(pad) })
        label.append(input, face)
        set.append(label)
    }
    return set
}

function slider(pad, size) {
    const [label, input, shown] = [element("label", "slider"), element("input"), element("output")]
    input.type = "range"
    input.addEventListener("input", () => { pad.kept.size = Number(input.value); settle(pad) })
    label.append(size({ height: 1, width: 1 }).label, input, shown)
    return { label, input, shown }
}

function button(text, act) {
    const made = element("button", "", text)
    made.type = "button"
    made.addEventListener("click", act)
    return made
}

function encodeBytes(bytes) {
    return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))
}

function grouped(count) {
    return count.toLocaleString("en")
}
