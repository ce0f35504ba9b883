// Films of pictures. Python sends each reel once, as one image of all its frames; all that follows happens here.

const STRIP = 1.5 // a picture wider than so many heights is a strip, which has a row of a phone for itself
const GAP = 16 // pixels between pictures
const HINT = "Hover a picture, or use the arrow keys on it, to follow one pixel through all frames; click to hold it."

const FILM = {
    name: "film",
    html: `<div class="tracks"></div>
        <div class="course"><p class="hint"></p><p class="legend"></p><canvas role="img"></canvas></div>`,
    fill: view => {
        view.holder = view.root.querySelector(".tracks")
        view.course = view.root.querySelector(".course")
        ;[view.hint, view.legend, view.chart] = view.course.children
        view.hint.textContent = HINT
    },
    decode: data => Promise.all(data.sheets.map(decodeSheet)),
    take, draw,
    spoken: (view, at) => view.tracks?.map(track => track.labels[frameAt(view, track, at)]).join("; "),
}

export default component => show(FILM, component)

// ---- data ----

async function decodeSheet(address) {
    const image = new Image()
    image.src = address
    await image.decode()
    const pen = sheet(image.width, image.height)
    pen.drawImage(image, 0, 0)
    return { width: image.width, pixels: pen.getImageData(0, 0, image.width, image.height).data } // (H, W, 4)
}

function take(view, data, sheets) {
    view.side = data.side
    view.tracks = data.tracks.map((track, index) => makeTrack(view, track, index, sheets))
    view.holder.replaceChildren(...view.tracks.map(track => track.node))
    const readable = view.tracks.some(track => track.reels.some(reel => reel.limits))
    view.course.hidden = !readable
    const { cross } = view.kept
    if (cross && !view.tracks[cross.track]?.reels[cross.reel]) view.kept.cross = null // of pictures that are gone
    view.width = 0
    settleBar(view.bar)
}

function makeTrack(view, sent, index, sheets) {
    const node = element("section", "track")
    const head = element("h4", "", sent.title && `${sent.title}\u2002`)
    const blurred = sent.reels.some(reel => !reel.exact) ? "pictures compressed, values ≈" : ""
    head.append(element("small", "", [sent.note, blurred].filter(Boolean).join(" · ")))
    head.hidden = !head.textContent
    const [label, reels] = [element("p", "label"), element("div", "reels")]
    node.append(head, label, reels)
    const track = { ...sent, node, label, index }
    track.reels = sent.reels.map((reel, at) => makeReel(view, track, reel, at, sheets[reel.sheet]))
    reels.append(...track.reels.map(reel => reel.node))
    track.widest = widest(sent.labels)
    if (sent.equations.some(Boolean)) node.append(makeEquation(track))
    return track
}

function makeReel(view, track, sent, index, { pixels, width }) {
    const node = element("figure", "reel")
    const [name, canvas, value] = [element("figcaption", "", sent.title), element("canvas"), element("p", "value")]
    node.append(name, canvas, value)
    value.hidden = !sent.limits
    const reel = { ...sent, node, canvas, value, index, track, pixels, stride: width }
    reel.layer = sheet(sent.width, sent.height)
    if (sent.limits) { // digits that 8 bits of the loudest frame carry
        reel.places = Math.max(0, Math.min(8, Math.round(-Math.log10(Math.max(...sent.limits) / 255 || 1))))
        reel.scales = sent.limits.map(limit => `from ${decimal(-limit, reel.places)} to ${decimal(limit, reel.places)}`)
        const bound = decimal(-Math.max(...sent.limits), reel.places)
        reel.widest = widest([(sent.exact ? "" : "≈ ") + Array(sent.channels).fill(bound).join(", "), ...reel.scales])
    }
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", [track.title, sent.title].filter(Boolean).join(": "))
    if (sent.limits) listen(view, reel)
    return reel
}

// The value of a pixel in one frame, a number for each channel.
function valuesAt(reel, frame, { row, column }) {
    const [down, right] = [Math.floor(frame / reel.columns), frame % reel.columns]
    const at = 4 * ((down * reel.height + row) * reel.stride + right * reel.width + column)
    return Array.from({ length: reel.channels }, (_, channel) =>
        ((2 * reel.pixels[at + channel]) / 255 - 1) * reel.limits[frame])
}

function meanAt(reel, frame, cross) {
    return valuesAt(reel, frame, cross).reduce((sum, value) => sum + value, 0) / reel.channels
}

function frameAt(view, track, at) {
    return Math.round(placeOf(view, track.labels.length, at))
}

// ---- drawing ----

function draw(view) {
    if (!view.tracks) return
    const inks = inksOf(view)
    fit(view)
    const at = Math.round(view.bar.at)
    const { cross } = view.kept
    for (const track of view.tracks) {
        track.frame = frameAt(view, track, at)
        steady(track.label, track.labels[track.frame], track.widest)
        for (const reel of track.reels) paintReel(reel, track.frame, crossOn(reel, cross, view), inks)
        if (track.sums) paintEquation(track, cross, view)
    }
    drawCourse(view, inks)
}

function fit(view) { // a whole number of the screen's pixels for each of a picture's: all its squares are equal
    const sharp = window.devicePixelRatio || 1
    const room = view.root.clientWidth
    if (!room) return
    for (const { canvas, width, height } of view.tracks.flatMap(track => track.reels)) {
        const equal = view.side * Math.sqrt(width / height) // as large as a square picture
        const narrow = width < STRIP * height && 2 * equal + GAP > room // two in a row on a phone
        const wanted = sharp * Math.min(equal, narrow ? Math.floor((room - GAP) / 2) : room)
        const times = wanted / width
        const wide = times > 1 ? Math.floor(times) * width : Math.round(wanted)
        const tall = Math.round((wide * height) / width)
        if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall })
        canvas.style.width = `${wide / sharp}px`
    }
}

function paintReel(reel, frame, cross, inks) {
    const { width, height, stride, pixels, layer, canvas } = reel
    const image = layer.createImageData(width, height)
    const [top, left] = [Math.floor(frame / reel.columns) * height, (frame % reel.columns) * width]
    for (let row = 0; row < height; row++) {
        const from = 4 * ((top + row) * stride + left)
        const line = pixels.subarray(from, from + 4 * width)
        image.data.set(line, 4 * row * width)
        if (!reel.signed) continue
        for (let x = 0; x < width; x++) {
            const code = line[4 * x]
            image.data.set(inks.signed.subarray(4 * code, 4 * code + 4), 4 * (row * width + x))
        }
    }
    layer.putImageData(image, 0, 0)
    const pen = canvas.getContext("2d")
    const scale = canvas.width / width
    pen.imageSmoothingEnabled = scale < 1
    pen.setTransform(1, 0, 0, 1, 0, 0)
    pen.drawImage(layer.canvas, 0, 0, canvas.width, canvas.height)
    if (cross) {
        pen.setTransform(scale, 0, 0, scale, 0, 0)
        mark(pen, cross, reel, canvas.width / parseFloat(canvas.style.width) / scale, inks.dark)
    }
    if (!reel.limits) return
    const said = cross && valuesAt(reel, frame, cross).map(value => decimal(value, reel.places)).join(", ")
    steady(reel.value, cross ? (reel.exact ? "" : "≈ ") + said : reel.scales[frame], reel.widest)
    reel.value.classList.toggle("idle", !cross)
}

function mark(pen, { row, column, held }, { width, height }, line, dark) { // line: a pixel of the page
    const path = new Path2D()
    const [x, y, half] = [column + 0.5, row + 0.5, Math.max(0.5 + line, 3.5 * line)]
    if (held) path.rect(x - half, y - half, 2 * half, 2 * half)
    for (const [dx, dy, length] of [[-1, 0, x], [1, 0, width - x], [0, -1, y], [0, 1, height - y]]) {
        if (length <= half + line) continue
        path.moveTo(x + dx * (half + line), y + dy * (half + line))
        path.lineTo(x + dx * length, y + dy * length)
    }
    const [ink, halo] = dark ? ["white", "rgba(0, 0, 0, 0.6)"] : ["#17212e", "rgba(255, 255, 255, 0.75)"]
    pen.lineCap = "square"
    for (const [thick, colour] of [[2.6 * line, halo], [line, ink]]) { // black in white is seen on anything
        pen.lineWidth = thick
        pen.strokeStyle = colour
        pen.stroke(path)
    }
}

// ---- the step in numbers ----

function makeEquation(track) {
    const node = element("div", "equation")
    for (const name of ["result", "sum", "numbers", "note"]) node.append(element("div", name))
    track.sums = Object.fromEntries([...node.children].map(child => [child.className, child]))
    const whole = track.equations.filter(Boolean)
    const longest = (one, frame) => numbersOf(track, one, term => -track.reels[term[2]].limits[frame])
    track.rooms = {
        result: widest(whole.map(one => one.result)),
        sum: widest(whole.map(one => sumOf(one))),
        numbers: widest(track.equations.map((one, frame) => (one ? longest(one, frame) : ""))),
        note: widest([LAST, ...whole.map(one => one.note)]),
    }
    return node
}

const LAST = "This is the last frame: no step follows."
const PICK = "Pick a pixel to see its numbers."

function paintEquation(track, cross, view) {
    const equation = track.equations[track.frame]
    const { result, sum, numbers, note } = track.sums
    const here = cross && track.reels.find(reel => reel.limits && crossOn(reel, cross, view))
    const value = term => meanAt(track.reels[term[2]], track.frame, crossOn(track.reels[term[2]], cross, view))
    const read = equation?.terms.some(term => term[2] !== null)
    const told = equation?.terms.length // of a step that is no one sum there is only the note
    steady(result, told ? equation.result : "", track.rooms.result)
    steady(sum, told ? sumOf(equation) : "", track.rooms.sum)
    steady(numbers, read ? (here ? numbersOf(track, equation, value) : PICK) : "", widest([track.rooms.numbers, PICK]))
    numbers.classList.toggle("idle", !here)
    steady(note, equation ? equation.note : LAST, track.rooms.note)
}

function sumOf({ terms }) {
    return `= ${joined(terms.map(([factor, symbol]) => [factor, symbol]))}`
}

function numbersOf(track, { terms }, value) { // and their total, where all are known
    const [parts, wholly] = [[], terms.every(term => term[2] !== null)]
    let [total, places] = [0, 2]
    for (const term of terms) {
        const known = term[2] !== null
        const number = known ? value(term) : 0
        places = known ? track.reels[term[2]].places : places
        total += term[0] * number
        const text = known ? decimal(number, places) : term[1]
        parts.push([term[0], text.startsWith("−") ? `(${text})` : text])
    }
    return `= ${joined(parts)}${wholly ? ` = ${decimal(total, places)}` : ""}`
}

function joined(parts) { // factor · symbol, signs between them
    return parts.map(([factor, symbol], at) => {
        const sign = factor < 0 ? (at ? " − " : "−") : at ? " + " : ""
        const size = Math.abs(factor)
        return `${sign}${size && size < 0.005 ? size.toPrecision(1) : size.toFixed(2)} · ${symbol}`
    }).join("")
}

// ---- the course of one pixel ----

function drawCourse(view, inks) {
    if (view.course.hidden) return
    const { cross } = view.kept
    view.hint.hidden = !!cross
    view.legend.hidden = view.chart.hidden = !cross
    if (!cross) return
    const track = view.tracks[cross.track]
    const lines = track.reels.filter(reel => reel.limits && crossOn(reel, cross, view)).map((reel, at) => ({
        reel,
        colour: inks.categorical[at % inks.categorical.length],
        values: track.labels.map((_, frame) => meanAt(reel, frame, crossOn(reel, cross, view))),
    }))
    fillLegend(view, track, cross, lines)
    const [width, height] = [view.chart.clientWidth, view.chart.clientHeight]
    const pen = resize(view.chart, width, height)
    pen.clearRect(0, 0, width, height)
    pen.font = inks.font
    const all = lines.flatMap(line => line.values)
    const low = Math.min(0, ...all)
    const high = Math.max(low ? 0 : 1e-6, ...all)
    const ticks = ticksOf(low, high)
    const left = Math.max(...ticks.map(tick => pen.measureText(tick.text).width)) + 8
    const [right, top, bottom] = [width - 8, 6, height - 20]
    const last = track.labels.length - 1
    const x = frame => left + (last ? (frame / last) * (right - left) : 0)
    const y = value => bottom - ((value - low) / (high - low)) * (bottom - top)
    // Axes: the zero line stands out
    pen.lineWidth = 1
    pen.fillStyle = inks.text
    pen.textBaseline = "middle"
    pen.textAlign = "right"
    for (const tick of ticks) {
        pen.strokeStyle = inks.line
        rule(pen, left, y(tick.value), right, y(tick.value), tick.value ? [2, 3] : [])
        pen.globalAlpha = 0.7
        pen.fillText(tick.text, left - 6, y(tick.value))
        pen.globalAlpha = 1
    }
    pen.strokeStyle = inks.text
    pen.globalAlpha = 0.45
    rule(pen, x(track.frame), top, x(track.frame), bottom, [])
    pen.globalAlpha = 0.7
    pen.textBaseline = "alphabetic"
    for (const [frame, align] of [[0, "left"], [last, "right"]]) {
        pen.textAlign = align
        pen.fillText(track.labels[frame].split(" · ")[0], x(frame), height - 4)
    }
    pen.globalAlpha = 1
    for (const { colour, values } of lines) {
        pen.strokeStyle = colour
        pen.lineWidth = 2
        pen.lineJoin = "round"
        pen.beginPath()
        values.forEach((value, frame) => pen.lineTo(x(frame), y(value)))
        pen.stroke()
    }
    for (const { colour, values } of lines) {
        pen.fillStyle = colour
        pen.strokeStyle = `rgb(${inks.page})`
        pen.beginPath()
        pen.arc(x(track.frame), y(values[track.frame]), 4.5, 0, 7)
        pen.fill()
        pen.stroke()
    }
    const told = lines.map(({ reel: { title, places }, values }) =>
        `${title} from ${decimal(values[0], places)} to ${decimal(values[last], places)}`)
    const where = `Row ${cross.row}, column ${cross.column}`
    view.chart.setAttribute("aria-label", `${where} through all frames: ${told.join(", ")}`)
}

function fillLegend(view, track, cross, lines) {
    const mean = lines.some(line => line.reel.channels > 1) ? ", mean of the channels" : ""
    const named = view.tracks.length > 1 && track.title ? ` of ${track.title}` : ""
    const entries = lines.map(({ reel, colour }) => {
        const entry = element("span", "entry", reel.title)
        entry.prepend(element("i"))
        entry.firstChild.style.background = colour
        return entry
    })
    const held = cross.held ? [element("span", "held", "Held: click again to let go.")] : []
    const where = element("b", "", `Row ${cross.row}, column ${cross.column}${named}${mean}`)
    view.legend.replaceChildren(where, ...entries, ...held)
}

function ticksOf(low, high) { // round numbers, about four
    const rough = (high - low) / 4
    const power = 10 ** Math.floor(Math.log10(rough))
    const size = power * [1, 2, 5, 10].find(times => times * power >= rough)
    const places = Math.max(0, -Math.floor(Math.log10(size) + 1e-9))
    const [from, to] = [Math.ceil(low / size - 1e-9), Math.floor(high / size + 1e-9)]
    return Array.from({ length: to - from + 1 }, (_, at) => (from + at) * size)
        .map(value => ({ value, text: decimal(value, places) }))
}

function rule(pen, x0, y0, x1, y1, dashes) {
    pen.setLineDash(dashes)
    pen.beginPath()
    pen.moveTo(x0, y0)
    pen.lineTo(x1, y1)
    pen.stroke()
    pen.setLineDash([])
}

// ---- the pixel under the pointer ----

function crossOn(reel, cross, view) { // the same place of a picture of another size
    const source = cross && view.tracks[cross.track]?.reels[cross.reel]
    if (!source) return null
    const scaled = (at, from, to) => Math.min(to - 1, Math.floor(((at + 0.5) / from) * to))
    return {
        row: scaled(cross.row, source.height, reel.height),
        column: scaled(cross.column, source.width, reel.width),
        held: cross.held,
    }
}

function listen(view, reel) {
    const { canvas } = reel
    const held = () => view.kept.cross?.held
    const under = event => {
        const box = canvas.getBoundingClientRect()
        const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)))
        return {
            row: clamp((event.clientY - box.top) / box.height, reel.height),
            column: clamp((event.clientX - box.left) / box.width, reel.width),
        }
    }
    canvas.tabIndex = 0
    canvas.addEventListener("pointermove", event => held() || aim(view, reel, under(event)))
    canvas.addEventListener("pointerleave", () => held() || aim(view, reel, null))
    canvas.addEventListener("blur", () => held() || aim(view, reel, null))
    canvas.addEventListener("click", event => aim(view, reel, { ...under(event), held: !held() }))
    canvas.addEventListener("keydown", event => steer(view, reel, event))
}

function aim(view, reel, at) {
    view.kept.cross = at && { held: false, ...at, track: reel.track.index, reel: reel.index }
    schedule(view)
}

function steer(view, reel, event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const from = crossOn(reel, view.kept.cross, view)
    if (event.key === "Escape") aim(view, reel, null)
    else if ((event.key === "Enter" || event.key === " ") && from) aim(view, reel, { ...from, held: !from.held })
    else if (move) {
        const reach = event.shiftKey ? 10 : 1
        const clamp = (value, count) => Math.max(0, Math.min(count - 1, value))
        const row = from ? clamp(from.row + reach * move[0], reel.height) : Math.floor(reel.height / 2)
        const column = from ? clamp(from.column + reach * move[1], reel.width) : Math.floor(reel.width / 2)
        aim(view, reel, { held: from?.held ?? false, row, column })
        const numbers = valuesAt(reel, reel.track.frame, { row, column }).map(value => decimal(value, reel.places))
        view.told.textContent = `${reel.title}, row ${row}, column ${column}: ${numbers.join(", ")}`
    } else return
    event.preventDefault()
}
