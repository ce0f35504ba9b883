// A data set as points of the plane. Python sends points, pictures and neighbours once; all that follows happens here.
// Places are shares of the extent, from -1 to 1. Between two frames points move straight from one to the other.

const STEPS = 65535 // of a code from one end to the other
const NEAR = 14 // pixels around the pointer within which a point is found
const EDGE = 18 // pixels between the outermost points and the border
const GLIDE = 320 // milliseconds from frame to frame when one is stepped to
const DEEPEST = 60 // times that can be zoomed in
const NAMED = 16 // groups in the legend at most
const HINT = "Hover a point to see it, click it for its nearest. Drag to move; after a click the wheel zooms."

const SCATTER = {
    name: "scatter",
    html: `
        <p class="label"></p>
        <div class="toolbar" role="group" aria-label="How points are drawn"></div>
        <div class="legend" role="group" aria-label="Groups: choose one to see it alone"></div>
        <div class="body">
            <div class="stage">
                <canvas tabindex="0" role="img"></canvas>
                <div class="zoom" role="group" aria-label="Zoom"></div>
                <div class="tip" hidden></div>
            </div>
            <div class="panel"></div>
        </div>
        <p class="hint"></p>`,
    fill: view => {
        ;[, view.label, view.toolbar, view.legend, view.body, view.hint] = view.root.children
        ;[view.stage, view.panel] = view.body.children
        ;[view.canvas, view.zoomer, view.tip] = view.stage.children
        view.hint.textContent = HINT
        Object.assign(view, { hover: null, peek: null, reached: null, pointers: new Map() })
        fillZoom(view)
        listen(view)
    },
    decode: async data => {
        const atlas = data.atlas && { ...data.atlas, image: await decodeImage(data.atlas.sheet) }
        return { atlas, points: decodePlaces(data.points), near: decodeCodes(data.near),
            distances: decodeCodes(data.distances),
            colourings: data.colourings.map(one => ({ ...one, groups: decodeCodes(one.groups) })) }
    },
    take, draw,
    spoken: (view, at) => view.sent?.labels[at],
}

export default component => show(SCATTER, component)

// ---- data ----

function decodeCodes(text) {
    return new Uint16Array(decodeBytes(text).buffer)
}

function decodePlaces(text) {
    return Float32Array.from(decodeCodes(text), code => (code / STEPS) * 2 - 1)
}

async function decodeImage(address) {
    const image = new Image()
    image.src = address
    await image.decode()
    return image
}

function take(view, data, decoded) {
    Object.assign(view, { sent: data, ...decoded, hover: null, peek: null, reached: null, dots: null })
    view.now = new Float32Array(2 * data.count)
    const { kept } = view
    kept.zoom ??= { scale: 1, x: 0, y: 0 }
    kept.colour = view.colourings.some(one => one.title === kept.colour) ? kept.colour : view.colourings[0]?.title
    if (kept.chosen === undefined || kept.chosen >= data.count) kept.chosen = data.chosen
    if (kept.pictures === undefined || !view.atlas) kept.pictures = false
    view.shownPanel = null
    view.canvas.setAttribute("aria-label", `${data.count} examples as points`)
    fillToolbar(view)
}

function colouring(view) {
    return view.colourings.find(one => one.title === view.kept.colour)
}

function groupOf(view, one, index) {
    return one.groups[(one.moves ? view.shown * view.sent.count : 0) + index]
}

function pictureSide(view, side) { // width and height of a picture that fits into a square
    const { width, height } = view.atlas
    const factor = side / Math.max(width, height)
    return [width * factor, height * factor]
}

function stampPicture(view, pen, index, x, y, side) {
    const { image, width, height, columns } = view.atlas
    const [wide, tall] = pictureSide(view, side)
    pen.drawImage(image, (index % columns) * width, Math.floor(index / columns) * height, width, height,
        x - wide / 2, y - tall / 2, wide, tall)
}

function pictureOf(view, index, side) {
    const canvas = element("canvas", "picture")
    const [wide, tall] = pictureSide(view, side)
    const pen = resize(canvas, wide, tall)
    canvas.style.width = `${wide}px`
    canvas.style.height = `${tall}px`
    pen.imageSmoothingEnabled = view.atlas.width > 16
    stampPicture(view, pen, index, wide / 2, tall / 2, side)
    return canvas
}

// ---- colours ----

function colourOf(view, one, group, inks) {
    if (!one) return inks.categorical[0]
    if (one.kind === "verdict") return group ? inks.categorical[1] : inks.calm
    if (one.kind === "amount") return inks.amounts[group]
    const { categorical } = inks
    const round = Math.floor(group / categorical.length) % 3 // beyond the palette: deeper, then paler
    const base = categorical[group % categorical.length]
    return round ? `color-mix(in srgb, ${base} 60%, ${round === 1 ? inks.text : `rgb(${inks.page})`})` : base
}

function inksHere(view) {
    const inks = inksOf(view)
    if (!inks.amounts) {
        const steps = view.sent.sequential[inks.dark ? "dark" : "light"].map(rgb)
        inks.amounts = Array.from({ length: 256 }, (_, code) => `rgb(${blend(steps, code / 255).map(Math.round)})`)
        inks.calm = inks.dark ? "#7c8794" : "#97a1ad"
    }
    return inks
}

function dotOf(view, colour, radius) { // drawn once and stamped thousands of times
    const name = `${colour} ${radius} ${window.devicePixelRatio}`
    if (!view.dots.made.has(name)) {
        const size = 2 * radius + 3
        const canvas = element("canvas")
        const pen = resize(canvas, size, size)
        pen.beginPath()
        pen.arc(size / 2, size / 2, radius, 0, 7)
        pen.fillStyle = colour
        pen.fill()
        pen.lineWidth = 0.75
        pen.strokeStyle = `rgb(${view.dots.inks.page})`
        pen.stroke()
        view.dots.made.set(name, { canvas, size })
    }
    return view.dots.made.get(name)
}

// ---- drawing ----

function draw(view) {
    if (!view.sent) return
    const inks = inksHere(view)
    if (view.dots?.inks !== inks) {
        view.dots = { inks, made: new Map() }
        fillLegend(view, inks)
    }
    glide(view)
    const frame = Math.round(view.bar.at)
    if (frame !== view.shown) {
        view.shown = frame
        view.shownPanel = null
        fillLegend(view, inks)
    }
    view.label.hidden = !view.sent.labels.some(Boolean)
    steady(view.label, view.sent.labels[frame], widest(view.sent.labels))
    move(view)
    paint(view, inks)
    settlePanel(view)
    settleTip(view)
}

function glide(view) { // towards the frame of the bar; while it plays it is the bar that moves
    const target = view.bar.at
    if (view.reached === null || view.bar.playing) {
        Object.assign(view, { reached: target, trip: null })
        return
    }
    if (view.reached === target) return void (view.trip = null)
    if (view.trip?.to !== target) view.trip = { from: view.reached, to: target, began: performance.now() }
    const share = Math.min(1, (performance.now() - view.trip.began) / GLIDE)
    const eased = share * share * (3 - 2 * share)
    view.reached = share === 1 ? target : view.trip.from + (target - view.trip.from) * eased
    if (share < 1) schedule(view)
}

function move(view) {
    const { points, now, reached } = view
    const [start, end, share] = [Math.floor(reached) * now.length, Math.ceil(reached) * now.length, reached % 1]
    for (let at = 0; at < now.length; at++) now[at] = points[start + at] + (points[end + at] - points[start + at]) * share
}

function measure(view) { // the canvas in pixels of the page, and what takes shares there
    const width = view.stage.clientWidth
    const height = Math.min(view.sent.height, Math.max(320, Math.round(width * 0.8)))
    const [left, right, low, high] = view.sent.box // of all frames
    const room = (pixels, span) => (pixels - 2 * EDGE) / Math.max(span, 1e-6)
    const fit = Math.min(room(width, right - left), room(height, high - low))
    const { zoom } = view.kept
    const unit = fit * zoom.scale
    Object.assign(view, { wide: width, tall: height, fit, unit })
    view.x = share => width / 2 + (share - (left + right) / 2 - zoom.x) * unit
    view.y = share => height / 2 - (share - (low + high) / 2 - zoom.y) * unit
    return width > 0
}

function paint(view, inks) {
    if (!measure(view)) return
    const { wide, tall, now, kept, sent } = view
    const pen = resize(view.canvas, wide, tall)
    view.canvas.style.width = `${wide}px`
    view.canvas.style.height = `${tall}px`
    pen.clearRect(0, 0, wide, tall)
    const one = colouring(view)
    const alone = one?.kind === "amount" ? null : view.peek ?? kept.alone?.[one?.title] ?? null
    const dense = Math.sqrt((wide * tall) / sent.count)
    const radius = Math.max(2.2, Math.min(5, dense * 0.14)) * Math.min(1.7, kept.zoom.scale ** 0.2)
    view.side = kept.pictures ? Math.min(80, Math.max(12, Math.min(36, dense * 0.75)) * kept.zoom.scale ** 0.55) : 0
    pen.imageSmoothingEnabled = Boolean(view.atlas && view.atlas.width > 16)
    for (const late of [false, true]) { // wrong ones lie above right ones, the chosen class above all others
        for (let index = 0; index < sent.count; index++) {
            const group = one ? groupOf(view, one, index) : 0
            const apart = alone !== null ? group === alone : one?.kind === "verdict" && group === 1
            if (apart !== late) continue
            const [x, y] = [view.x(now[2 * index]), view.y(now[2 * index + 1])]
            if (x < -40 || y < -40 || x > wide + 40 || y > tall + 40) continue
            pen.globalAlpha = alone !== null && group !== alone ? 0.1 : kept.pictures ? 1 : 0.85
            if (kept.pictures) thumb(view, pen, index, x, y, view.side, one && colourOf(view, one, group, inks))
            else stamp(pen, dotOf(view, colourOf(view, one, group, inks), radius), x, y)
        }
    }
    pen.globalAlpha = 1
    if (kept.chosen !== null) links(view, pen, kept.chosen, inks, radius)
    if (view.hover !== null) ring(view, pen, view.hover, inks.text, radius + 2.5)
}

function thumb(view, pen, index, x, y, side, colour) {
    if (colour) {
        const [wide, tall] = pictureSide(view, side)
        const rim = side < 20 ? 1.5 : 2
        pen.fillStyle = colour
        pen.fillRect(x - wide / 2 - rim, y - tall / 2 - rim, wide + 2 * rim, tall + 2 * rim)
    }
    stampPicture(view, pen, index, x, y, side)
}

function stamp(pen, { canvas, size }, x, y) {
    pen.drawImage(canvas, x - size / 2, y - size / 2, size, size)
}

function links(view, pen, index, inks, radius) { // from the chosen point to its nearest in the full space
    const [x, y] = [view.x(view.now[2 * index]), view.y(view.now[2 * index + 1])]
    for (const [thick, ink, alpha] of [[3.5, `rgb(${inks.page})`, 0.8], [1.25, inks.text, 0.75]]) {
        pen.lineWidth = thick
        pen.strokeStyle = ink
        pen.globalAlpha = alpha
        pen.beginPath()
        for (const { index: other } of nearestOf(view, index)) {
            pen.moveTo(x, y)
            pen.lineTo(view.x(view.now[2 * other]), view.y(view.now[2 * other + 1]))
        }
        pen.stroke()
    }
    pen.globalAlpha = 1
    const one = colouring(view)
    const again = other => {
        const [across, up] = [view.x(view.now[2 * other]), view.y(view.now[2 * other + 1])]
        const colour = colourOf(view, one, one ? groupOf(view, one, other) : 0, inks)
        if (view.kept.pictures) thumb(view, pen, other, across, up, view.side, one && colour)
        else stamp(pen, dotOf(view, colour, radius + 0.75), across, up)
        ring(view, pen, other, inks.text, radius + (other === index ? 4 : 1.5), other === index ? 2.5 : 1)
    }
    for (const { index: other } of nearestOf(view, index)) again(other)
    again(index)
}

function ring(view, pen, index, ink, radius, thick = 2) {
    const [x, y] = [view.x(view.now[2 * index]), view.y(view.now[2 * index + 1])]
    pen.lineWidth = thick
    pen.strokeStyle = ink
    pen.beginPath()
    if (view.kept.pictures) {
        const [wide, tall] = pictureSide(view, view.side + 4 + thick)
        pen.rect(x - wide / 2, y - tall / 2, wide, tall)
    } else pen.arc(x, y, radius, 0, 7)
    pen.stroke()
}

function nearestOf(view, index) {
    const { nearest, count, limits } = view.sent
    const start = (view.shown * count + index) * nearest
    return Array.from({ length: nearest }, (_, at) => ({
        index: view.near[start + at],
        distance: (view.distances[start + at] / STEPS) * limits[view.shown],
    }))
}

// ---- what is told of a point ----

function facts(view, index) { // each as [title, name, colour]
    const inks = inksHere(view)
    return view.colourings.filter(one => one.kind === "classes").map(one => {
        const group = groupOf(view, one, index)
        return [one.title, one.names[group], colourOf(view, one, group, inks)]
    })
}

function spot(colour) {
    const made = element("i", "spot")
    made.style.background = colour
    return made
}

function lines(view, index) {
    const holder = element("div", "facts")
    for (const [title, name, colour] of facts(view, index)) {
        const line = element("div")
        line.append(element("span", "muted", `${title} `), spot(colour), element("b", "", name))
        holder.append(line)
    }
    const verdict = view.colourings.find(one => one.kind === "verdict")
    if (verdict && groupOf(view, verdict, index)) holder.append(element("div", "wrong", verdict.names[1]))
    if (view.sent.notes[index]) holder.append(element("div", "muted", view.sent.notes[index]))
    return holder
}

function settleTip(view) {
    const { tip, hover } = view
    tip.hidden = hover === null
    if (hover === null) return
    if (tip.dataset.of !== `${hover} ${view.shown} ${view.print}`) {
        tip.dataset.of = `${hover} ${view.shown} ${view.print}`
        tip.replaceChildren()
        if (view.atlas) tip.append(pictureOf(view, hover, 80))
        const told = element("div")
        told.append(element("strong", "", `Example ${hover}`), lines(view, hover))
        if (view.sent.texts[hover]) told.append(element("p", "text", view.sent.texts[hover]))
        tip.append(told)
    }
    const [x, y] = [view.x(view.now[2 * hover]), view.y(view.now[2 * hover + 1])]
    const [wide, tall] = [tip.offsetWidth, tip.offsetHeight]
    const gap = 14 + view.side / 2
    const left = x + gap + wide < view.wide ? x + gap : x - gap - wide
    tip.style.left = `${Math.max(4, Math.min(view.wide - wide - 4, left))}px`
    tip.style.top = `${Math.max(4, Math.min(view.tall - tall - 4, y - tall / 2))}px`
}

function settlePanel(view) {
    const { chosen } = view.kept
    const shown = `${chosen} ${view.shown} ${view.print} ${view.dots.inks.dark}`
    if (view.shownPanel === shown) return
    view.shownPanel = shown
    view.panel.replaceChildren()
    if (chosen === null) {
        view.panel.append(element("p", "muted", "Choose a point to see its nearest here."))
        return
    }
    const head = element("div", "chosen")
    if (view.atlas) head.append(pictureOf(view, chosen, 96))
    const told = element("div")
    told.append(element("h4", "", `Example ${chosen}`), lines(view, chosen))
    if (view.sent.texts[chosen]) told.append(element("p", "text", view.sent.texts[chosen]))
    head.append(told)
    const title = element("p", "nearest", `Its ${view.sent.nearest} nearest in ${view.sent.space}, with their distance`)
    const row = element("div", view.atlas ? "others pictured" : "others")
    for (const { index, distance } of nearestOf(view, chosen)) row.append(other(view, index, distance))
    view.panel.append(head, title, row)
}

function other(view, index, distance) {
    const made = Object.assign(element("button"), { type: "button" })
    const [first] = facts(view, index)
    if (view.atlas) made.append(pictureOf(view, index, 44))
    const told = element("span", "far", distance.toPrecision(3))
    made.append(told)
    if (first) {
        const name = element("span", "name", first[1])
        name.prepend(spot(first[2]))
        made.append(name)
    }
    if (view.sent.texts[index]) made.append(element("span", "text", view.sent.texts[index]))
    else if (!view.atlas && view.sent.notes[index]) made.append(element("span", "muted", view.sent.notes[index]))
    made.setAttribute("aria-label", [`Example ${index}`, `distance ${told.textContent}`, first?.[1],
        view.sent.texts[index]].filter(Boolean).join(", "))
    made.addEventListener("click", () => {
        view.hover = null // the button goes, and nothing would say that the pointer has left it
        choose(view, index)
    })
    made.addEventListener("pointerenter", () => point(view, index))
    made.addEventListener("pointerleave", () => point(view, null))
    return made
}

// ---- the toolbar and the legend ----

function fillToolbar(view) {
    view.toolbar.replaceChildren()
    view.toolbar.hidden = view.colourings.length < 2 && !view.atlas
    if (view.colourings.length > 1) {
        const group = element("span", "segments")
        group.setAttribute("role", "radiogroup")
        group.setAttribute("aria-label", "Colour by")
        for (const { title } of view.colourings) {
            const [label, input, text] = [element("label"), element("input"), element("span", "", title)]
            Object.assign(input, { type: "radio", name: "colour", checked: title === view.kept.colour })
            input.addEventListener("change", () => {
                view.kept.colour = title
                fillLegend(view, inksHere(view))
                schedule(view)
            })
            label.append(input, text)
            group.append(label)
        }
        view.toolbar.append(element("span", "muted", "Colour"), group)
    }
    if (view.atlas) {
        const [label, input] = [element("label", "check"), element("input")]
        Object.assign(input, { type: "checkbox", checked: view.kept.pictures })
        input.addEventListener("change", () => {
            view.kept.pictures = input.checked
            schedule(view)
        })
        label.append(input, "Pictures as points")
        view.toolbar.append(label)
    }
}

function fillLegend(view, inks) {
    const one = colouring(view)
    view.legend.replaceChildren()
    view.legend.hidden = !one
    view.shown ??= Math.round(view.bar.at)
    if (!one) return
    if (one.kind === "amount") {
        const bar = element("span", "ramp")
        bar.style.background = `linear-gradient(to right, ${[0, 64, 128, 192, 255].map(code => inks.amounts[code])})`
        view.legend.append(element("span", "muted", one.names[0]), bar, element("span", "muted", one.names[1]))
        return
    }
    const counts = new Map()
    for (let index = 0; index < view.sent.count; index++) {
        const group = groupOf(view, one, index)
        counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    const groups = [...counts.keys()]
    groups.sort((a, b) => groups.length > NAMED ? counts.get(b) - counts.get(a) || a - b : a - b)
    for (const group of groups.slice(0, NAMED)) view.legend.append(entry(view, one, group, counts.get(group), inks))
    const more = groups.length - NAMED
    if (more > 0) view.legend.append(element("span", "muted", `and ${more} more, of fewer points`))
}

function entry(view, one, group, count, inks) {
    const made = Object.assign(element("button", "entry"), { type: "button" })
    made.append(spot(colourOf(view, one, group, inks)), one.names[group], element("small", "", ` ${count}`))
    const pressed = () => view.kept.alone?.[one.title] === group
    made.setAttribute("aria-pressed", pressed())
    made.addEventListener("click", () => {
        view.kept.alone = { ...view.kept.alone, [one.title]: pressed() ? null : group }
        view.peek = null
        for (const other of view.legend.querySelectorAll("button")) other.setAttribute("aria-pressed", false)
        made.setAttribute("aria-pressed", pressed())
        schedule(view)
    })
    const peek = now => { view.peek = now; schedule(view) }
    made.addEventListener("pointerenter", event => event.pointerType === "mouse" && peek(group))
    made.addEventListener("pointerleave", () => peek(null))
    return made
}

function fillZoom(view) {
    for (const [text, label, act] of [
        ["+", "Zoom in", () => zoomAt(view, 1.6)],
        ["−", "Zoom out", () => zoomAt(view, 1 / 1.6)],
        ["⟲", "The whole picture", () => whole(view)],
    ]) {
        const made = Object.assign(element("button", "", text), { type: "button", title: label })
        made.setAttribute("aria-label", label)
        made.addEventListener("click", act)
        view.zoomer.append(made)
    }
}

// ---- what the person does ----

function zoomAt(view, factor, x = view.wide / 2, y = view.tall / 2) { // what is at x, y stays there
    const { zoom } = view.kept
    const scale = Math.min(DEEPEST, Math.max(1, zoom.scale * factor))
    const [before, after] = [view.fit * zoom.scale, view.fit * scale]
    zoom.x += (x - view.wide / 2) * (1 / before - 1 / after)
    zoom.y -= (y - view.tall / 2) * (1 / before - 1 / after)
    zoom.scale = scale
    settleZoom(view)
}

function settleZoom(view) {
    const { zoom } = view.kept
    const [left, right, low, high] = view.sent.box
    const [across, up] = [(right - left) / 2, (high - low) / 2]
    if (zoom.scale === 1) Object.assign(zoom, { x: 0, y: 0 })
    zoom.x = Math.max(-across, Math.min(across, zoom.x))
    zoom.y = Math.max(-up, Math.min(up, zoom.y))
    view.canvas.classList.toggle("near", zoom.scale > 1)
    schedule(view)
}

function whole(view) {
    Object.assign(view.kept.zoom, { scale: 1, x: 0, y: 0 })
    settleZoom(view)
}

function listen(view) {
    const { canvas, pointers } = view
    const at = event => {
        const box = canvas.getBoundingClientRect()
        return [event.clientX - box.left, event.clientY - box.top]
    }
    canvas.addEventListener("pointerdown", event => {
        pointers.set(event.pointerId, at(event))
        view.drag = { from: at(event), moved: false }
        if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId)
    })
    canvas.addEventListener("pointermove", event => {
        const [x, y] = at(event)
        const before = pointers.get(event.pointerId)
        if (!before) return point(view, find(view, x, y))
        if (pointers.size === 2) {
            const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place)
            const apart = ([a, b]) => Math.hypot(a - other[0], b - other[1]) || 1
            zoomAt(view, apart([x, y]) / apart(before), (x + other[0]) / 2, (y + other[1]) / 2)
            view.drag.moved = true
        } else if (view.drag.moved || Math.hypot(x - view.drag.from[0], y - view.drag.from[1]) > 4) {
            view.drag.moved = true
            const { zoom } = view.kept
            zoom.x -= (x - before[0]) / view.unit
            zoom.y += (y - before[1]) / view.unit
            view.hover = null
            settleZoom(view)
        }
        pointers.set(event.pointerId, [x, y])
    })
    const up = event => {
        const pressed = pointers.delete(event.pointerId)
        if (pressed && event.type === "pointerup" && !pointers.size && !view.drag?.moved) {
            const found = find(view, ...at(event))
            choose(view, found === view.kept.chosen ? null : found)
        }
    }
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, up)
    canvas.addEventListener("pointerleave", () => point(view, null))
    canvas.addEventListener("blur", () => point(view, null))
    canvas.addEventListener("wheel", event => {
        if (!event.ctrlKey && !event.metaKey && view.root.getRootNode().activeElement !== canvas) return
        event.preventDefault() // else the page scrolls, as it should before the picture was touched
        zoomAt(view, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...at(event))
    }, { passive: false })
    canvas.addEventListener("keydown", event => {
        const { count } = view.sent
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
        if (by) {
            const from = view.hover ?? view.kept.chosen ?? -1
            point(view, (from + by + count) % count)
            view.told.textContent = spokenOf(view, view.hover)
        } else if ((event.key === "Enter" || event.key === " ") && view.hover !== null) choose(view, view.hover)
        else if (event.key === "Escape") choose(view, null)
        else if (event.key === "+" || event.key === "=") zoomAt(view, 1.6)
        else if (event.key === "-") zoomAt(view, 1 / 1.6)
        else if (event.key === "0") whole(view)
        else return
        event.preventDefault()
    })
}

function spokenOf(view, index) {
    return [`Example ${index}`, ...facts(view, index).map(([title, name]) => `${title}: ${name}`),
        view.sent.notes[index], view.sent.texts[index]].filter(Boolean).join(", ")
}

function find(view, x, y) {
    const one = colouring(view)
    const alone = one?.kind === "amount" ? null : view.kept.alone?.[one?.title] ?? null
    let [found, best] = [null, Math.max(NEAR, view.side * 0.7) ** 2]
    for (let index = 0; index < view.sent.count; index++) {
        if (alone !== null && groupOf(view, one, index) !== alone) continue
        const distance = (view.x(view.now[2 * index]) - x) ** 2 + (view.y(view.now[2 * index + 1]) - y) ** 2
        if (distance < best) [found, best] = [index, distance]
    }
    return found
}

function point(view, index) {
    if (index === view.hover) return
    view.hover = index
    schedule(view)
}

function choose(view, index) {
    view.kept.chosen = index
    schedule(view)
}
