// Heat maps over pictures. Python sends values and pictures once; all that follows happens here, on canvases.
// The person's view is kept here too, and reported to Python as state `view` when a control is let go.

const SHOWS = {
    signed: ["Signed", "Blue speaks against the class, orange for it"],
    size: ["Size", "How much a pixel matters, whichever way"],
    for: ["For", "Only what speaks for the class"],
    against: ["Against", "Only what speaks against the class"],
}
const SCALES = {
    each: ["Own scales", "Each map has its own scale: places can be compared, sizes cannot"],
    shared: ["One scale", "One scale for all maps: sizes can be compared too"],
}
const STEPS = 32767 // of a code on either side of zero
const SHADES = 256 // of the colour table on either side of zero
const HINT = "Hover, or use the arrow keys, to read one pixel in every map; click to hold it."

const mounted = new WeakMap() // the place on the page → what is drawn there
const remembered = new Map() // key → the view and the cross, which outlive a remount

export default async function heatmaps({ data, parentElement, setStateValue }) {
    const grid = mounted.get(parentElement) ?? mount(parentElement)
    const turn = (grid.turn = (grid.turn ?? 0) + 1)
    grid.report = () => setStateValue("view", { ...grid.kept.view })
    const pictures = await Promise.all(data.pictures.map(decodePicture))
    if (turn === grid.turn) take(grid, data, pictures) // else newer data came while the pictures were decoded
    return () => turn === grid.turn && unmount(grid) // an overtaken call must not clear what its successor draws
}

function mount(place) {
    const root = element("div", "heatmaps")
    root.innerHTML = `
        <div class="toolbar" role="group" aria-label="What the maps show"></div>
        <div class="tiles"></div>
        <p class="hint"></p>
        <div class="unseen" aria-live="polite"></div>`
    const [toolbar, tiles, hint, told] = root.children
    const grid = { place, root, toolbar, hint, told, holder: tiles, tiles: [], frame: 0, stale: false }
    fillToolbar(grid)
    grid.resized = new ResizeObserver(() => { fit(grid); paintAll(grid) })
    grid.resized.observe(tiles)
    // Streamlit renames the class of the element around us as the theme changes
    grid.themed = new MutationObserver(() => redraw(grid))
    const around = place.host?.parentElement ?? place.parentElement
    if (around) grid.themed.observe(around, { attributes: true })
    place.append(root)
    mounted.set(place, grid)
    return grid
}

function unmount(grid) {
    grid.resized.disconnect()
    grid.themed.disconnect()
    cancelAnimationFrame(grid.frame)
    grid.root.remove() // the listeners are on what is inside, and go with it
    mounted.delete(grid.place)
}

// ---- data ----

function take(grid, data, pictures) {
    if (grid.kept?.seed !== data.seed.id) {
        const before = remembered.get(data.key)
        grid.kept = before?.seed === data.seed.id ? before : { seed: data.seed.id, view: data.seed.view, cross: null }
        remembered.set(data.key, grid.kept)
    }
    grid.palettes = data.palettes
    grid.root.style.setProperty("--side", `${data.side}px`)
    while (grid.tiles.length > data.tiles.length) grid.tiles.pop().node.remove()
    while (grid.tiles.length < data.tiles.length) grid.tiles.push(makeTile(grid))
    data.tiles.forEach((sent, index) =>
        fillTile(grid.tiles[index], sent, pictures[sent.picture], data.masks[sent.mask]))
    grid.shared = Math.max(...grid.tiles.map(tile => tile.values ? tile.robust : 0))
    const cross = grid.kept.cross
    if (cross && !grid.tiles.some(tile => fits(tile, cross))) grid.kept.cross = null // of pictures that are gone
    settleToolbar(grid)
    fit(grid)
    draw(grid)
}

async function decodePicture(png) {
    const image = new Image()
    image.src = `data:image/png;base64,${png}`
    await image.decode()
    const pen = sheet(image.width, image.height)
    pen.drawImage(image, 0, 0)
    return pen.getImageData(0, 0, image.width, image.height).data // (H, W, 4)
}

function fillTile(tile, sent, pixels, mask) {
    Object.assign(tile, sent, { pixels, values: sent.codes ? decodeValues(sent.codes, sent.limit) : null })
    tile.outline = mask === undefined ? null : contour(decodeBytes(mask), sent.width, sent.height)
    tile.refused = !tile.values && tile.warning !== ""
    tile.layer = sheet(sent.width, sent.height)
    tile.canvas.style.aspectRatio = `${sent.width} / ${sent.height}`
    tile.canvas.hidden = tile.refused
    tile.refusal.hidden = !tile.refused
    tile.caution.hidden = tile.refused || !tile.warning
    tile.refusal.textContent = tile.caution.textContent = tile.warning
    tile.name.textContent = tile.title
    tile.told.textContent = tile.note
    tile.peak = tile.values ? tile.values.reduce((best, value, at, all) => (value > all[best] ? at : best), 0) : 0
    const [row, column] = [Math.floor(tile.peak / tile.width), tile.peak % tile.width]
    const peak = () => `: largest at row ${row}, column ${column}, ${digits(tile.values[tile.peak], 4, tile)}`
    tile.canvas.setAttribute("aria-label", tile.title + (tile.values ? peak() : ""))
}

function decodeValues(text, limit) {
    const codes = new DataView(decodeBytes(text).buffer)
    return Float64Array.from({ length: codes.byteLength / 2 }, (_, i) => (codes.getInt16(2 * i, true) / STEPS) * limit)
}

function contour(bits, width, height) { // along the edges of the pixels
    const path = new Path2D()
    const inside = (row, column) => {
        if (row < 0 || column < 0 || row >= height || column >= width) return 0
        const at = row * width + column
        return (bits[at >> 3] >> (7 - (at & 7))) & 1
    }
    const edge = (x, y, dx, dy) => { path.moveTo(x, y); path.lineTo(x + dx, y + dy) }
    for (let row = 0; row <= height; row++) {
        for (let column = 0; column <= width; column++) {
            const here = inside(row, column)
            if (here !== inside(row - 1, column)) edge(column, row, 1, 0)
            if (here !== inside(row, column - 1)) edge(column, row, 0, 1)
        }
    }
    return path
}

// ---- colours ----

function redraw(grid) { // at most once a frame
    grid.stale = true
    schedule(grid)
}

function schedule(grid) {
    grid.frame ||= requestAnimationFrame(() => {
        grid.frame = 0
        if (grid.stale) draw(grid)
        else paintAll(grid)
    })
}

function draw(grid) {
    grid.stale = false
    if (!grid.kept) return
    const page = rgb(getComputedStyle(grid.root).getPropertyValue("--st-background-color") || "white")
    grid.dark = luminance(page) < 128
    const table = shades(grid.kept.view, grid.palettes[grid.dark ? "dark" : "light"], page)
    for (const tile of grid.tiles) {
        tile.end = grid.kept.view.scale === "shared" ? grid.shared : tile.robust
        compose(tile, grid.kept.view.opacity, table, page, grid.dark ? 0.75 : 0.55)
        drawBar(tile, grid.kept.view, table, page)
    }
    paintAll(grid)
}

// The colour and the alpha of every value from -limit to limit. At opacity 1 the map is all there is and zero has the
// colour of the page. Below, the alpha grows with the value, so that the picture shows where the map says little;
// colours start further up then, as pale ones at a low alpha would only veil the picture.
function shades({ show, opacity }, palette, page) {
    const signed = [...palette.signed.slice(0, 5).map(rgb), page, ...palette.signed.slice(5).map(rgb)]
    const sizes = [page, ...palette.size.map(rgb)]
    const over = 1 - opacity ** 6
    const table = new Float32Array((2 * SHADES + 1) * 4)
    for (let step = -SHADES; step <= SHADES; step++) {
        const size = Math.abs(step) / SHADES
        const unseen = (show === "for" && step < 0) || (show === "against" && step > 0)
        const strength = unseen ? 0 : size
        const deep = strength + (1 - strength) * 0.45 * over
        const colour = show === "size" ? blend(sizes, deep) : blend(signed, 0.5 + 0.5 * Math.sign(step) * deep)
        table.set([...(strength ? colour : page), Math.sqrt(opacity) * strength ** (0.75 * over)], 4 * (step + SHADES))
    }
    return table
}

function compose(tile, opacity, table, page, fade) {
    const image = tile.layer.createImageData(tile.width, tile.height)
    const { pixels } = tile
    const mapped = tile.values ? opacity : 0
    const grey = Math.min(1, 1.6 * mapped) // a picture with colours of its own would be mistaken for the map
    const faded = fade * mapped + (1 - fade) * mapped ** 6 // towards the page, and all gone at 1
    for (let at = 0; at < pixels.length; at += 4) {
        const light = luminance(pixels.subarray(at, at + 3))
        const shade = tile.values ? 4 * shadeOf(tile.values[at / 4], tile.end) : 0
        const alpha = tile.values ? table[shade + 3] : 0
        for (let channel = 0; channel < 3; channel++) {
            const own = pixels[at + channel] + (light - pixels[at + channel]) * grey
            const under = own + (page[channel] - own) * faded
            image.data[at + channel] = under + (table[shade + channel] - under) * alpha
        }
        image.data[at + 3] = 255
    }
    tile.layer.putImageData(image, 0, 0)
}

function shadeOf(value, limit) {
    return Math.round(SHADES * (1 + Math.max(-1, Math.min(1, value / (limit || 1)))))
}

function drawBar(tile, { show, scale, opacity }, table, page) {
    tile.bar.hidden = !tile.values
    tile.name.title = ""
    if (!tile.values) return
    const limit = tile.end
    const [low, high] = show === "signed" ? [-1, 1] : show === "against" ? [-1, 0] : [0, 1]
    const stops = Array.from({ length: 17 }, (_, index) => {
        const at = 4 * Math.round(SHADES * (1 + low + ((high - low) * index) / 16))
        const alpha = Math.min(1, table[at + 3] / Math.sqrt(opacity || 1)) // as over the page, at full strength
        return `rgb(${page.map((value, channel) => value + (table[at + channel] - value) * alpha)})`
    })
    tile.range = [low * limit, high * limit]
    tile.ramp.style.background = `linear-gradient(to right, ${stops})`
    const shared = scale === "shared" ? "one scale" : ""
    const middle = show === "signed" ? ["0", shared].filter(Boolean).join(" · ") : shared
    const ends = limit ? [digits(low * limit, 3), middle, digits(high * limit, 3)] : ["", "zero everywhere", ""]
    ends.forEach((text, index) => (tile.ends.children[index].textContent = text))
    const robust = `the 99.5th percentile of the sizes${shared && " in the map where it is the highest"}`
    tile.bar.title = tile.name.title = limit === tile.limit
        ? `Colours end at ${digits(limit, 3)}, the largest size.`
        : `Colours end at ${digits(limit, 3)}, ${robust}; the largest here is ${digits(tile.limit, 3)}.`
}

// ---- canvases ----

function fit(grid) { // a whole number of canvas pixels for each of a small picture: all its squares are equal
    const sharp = window.devicePixelRatio || 1
    for (const tile of grid.tiles) {
        const wanted = tile.canvas.clientWidth * sharp
        if (!wanted) continue
        const times = wanted / tile.width
        const factor = times > 1 ? Math.ceil(times) : times
        tile.unit = (factor * tile.width) / tile.canvas.clientWidth // canvas pixels for one of the page
        const [width, height] = [Math.round(tile.width * factor), Math.round(tile.height * factor)]
        if (tile.canvas.width !== width || tile.canvas.height !== height) Object.assign(tile.canvas, { width, height })
    }
}

function paintAll(grid) {
    if (!grid.kept) return
    const { cross } = grid.kept
    for (const tile of grid.tiles) paint(tile, grid.kept.view, fits(tile, cross) ? cross : null, grid.dark)
    const held = cross?.pinned && `Held at row ${cross.row}, column ${cross.column}. Click again to let go.`
    grid.hint.textContent = held || HINT
}

function paint(tile, { outline }, cross, dark) {
    const pen = tile.canvas.getContext("2d")
    const scale = tile.canvas.width / tile.width
    pen.setTransform(1, 0, 0, 1, 0, 0)
    pen.imageSmoothingEnabled = scale < 1
    pen.drawImage(tile.layer.canvas, 0, 0, tile.canvas.width, tile.canvas.height)
    pen.setTransform(scale, 0, 0, scale, 0, 0)
    const line = tile.unit / scale // a pixel of the page
    if (outline && tile.outline) twice(pen, tile.outline, line, dark)
    tile.node.classList.toggle("reading", cross !== null)
    tile.mark.hidden = !cross || !tile.values
    if (cross) {
        twice(pen, crossPath(tile, cross, line), line, dark)
        read(tile, cross)
    }
}

function twice(pen, path, line, dark) { // black in white or white in black is seen on anything
    const [ink, halo] = dark ? ["white", "rgba(0, 0, 0, 0.6)"] : ["#17212e", "rgba(255, 255, 255, 0.75)"]
    pen.lineCap = "square"
    for (const [width, colour] of [[2.6 * line, halo], [line, ink]]) {
        pen.lineWidth = width
        pen.strokeStyle = colour
        pen.stroke(path)
    }
}

function crossPath(tile, { row, column, pinned }, line) {
    const path = new Path2D()
    const [x, y, half] = [column + 0.5, row + 0.5, Math.max(0.5 + line, 3.5 * line)]
    if (pinned) path.rect(x - half, y - half, 2 * half, 2 * half)
    for (const [dx, dy, length] of [[-1, 0, x], [1, 0, tile.width - x], [0, -1, y], [0, 1, tile.height - y]]) {
        if (length <= half + line) continue
        path.moveTo(x + dx * (half + line), y + dy * (half + line))
        path.lineTo(x + dx * length, y + dy * length)
    }
    return path
}

function read(tile, { row, column }) {
    const at = row * tile.width + column
    const colour = tile.pixels.slice(4 * at, 4 * at + 3).join(", ")
    tile.swatch.hidden = !!tile.values
    tile.swatch.style.background = `rgb(${colour})`
    tile.number.textContent = tile.values ? digits(tile.values[at], 4, tile) : colour
    tile.where.textContent = ` row ${row}, col ${column}`
    if (!tile.values) return
    const [low, high] = tile.range
    const share = high > low ? (tile.values[at] - low) / (high - low) : 0.5
    tile.mark.style.left = `${100 * Math.max(0, Math.min(1, share))}%`
}

// Significant digits, but none that the 16 bits of a code don't carry.
function digits(value, count, carried = null) {
    const step = carried ? carried.limit / STEPS : 0
    const known = step ? Number(value.toFixed(Math.max(0, Math.min(100, Math.floor(-Math.log10(step)))))) : value
    if (known === 0) return "0"
    const [size, sign] = [Math.abs(known), known < 0 ? "−" : ""]
    const short = Number(size.toPrecision(count))
    return sign + (size < 1e-3 || size >= 1e5 ? short.toExponential() : short)
}

// ---- what the person does ----

function makeTile(grid) {
    const node = element("figure", "tile")
    node.innerHTML = `
        <figcaption class="title"></figcaption>
        <div class="plate"><canvas tabindex="0" role="img"></canvas><p class="refusal"></p></div>
        <div class="bar"><div class="ramp"><div class="mark" hidden></div></div>
            <div class="ends"><span></span><span></span><span></span></div></div>
        <div class="notes"><span class="note"></span>
            <span class="value"><span class="swatch"></span><b></b><i></i></span><span class="caution"></span></div>`
    const find = selector => node.querySelector(selector)
    const tile = {
        node, name: find(".title"), canvas: find("canvas"), refusal: find(".refusal"), bar: find(".bar"),
        ramp: find(".ramp"), mark: find(".mark"), ends: find(".ends"), told: find(".note"), number: find("b"),
        swatch: find(".swatch"), where: find("i"), caution: find(".caution"),
    }
    const under = event => { // the pixel that a pointer is on
        const box = tile.canvas.getBoundingClientRect()
        const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)))
        return {
            row: clamp((event.clientY - box.top) / box.height, tile.height),
            column: clamp((event.clientX - box.left) / box.width, tile.width),
        }
    }
    tile.canvas.addEventListener("pointermove", event => grid.kept.cross?.pinned || aim(grid, tile, under(event)))
    tile.canvas.addEventListener("pointerleave", () => grid.kept.cross?.pinned || aim(grid, tile, null))
    tile.canvas.addEventListener("blur", () => grid.kept.cross?.pinned || aim(grid, tile, null))
    tile.canvas.addEventListener("click", event => {
        aim(grid, tile, { ...under(event), pinned: !grid.kept.cross?.pinned })
    })
    tile.canvas.addEventListener("keydown", event => steer(grid, tile, event))
    grid.holder.append(node)
    return tile
}

function aim(grid, tile, at) {
    grid.kept.cross = at && { pinned: false, ...at, height: tile.height, width: tile.width }
    schedule(grid)
}

function steer(grid, tile, event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const { cross } = grid.kept
    const from = fits(tile, cross) ? cross : null
    if (event.key === "Escape") aim(grid, tile, null)
    else if ((event.key === "Enter" || event.key === " ") && from) aim(grid, tile, { ...from, pinned: !from.pinned })
    else if (move) {
        const reach = event.shiftKey ? 10 : 1
        const clamp = (value, count) => Math.max(0, Math.min(count - 1, value))
        const row = from ? clamp(from.row + reach * move[0], tile.height) : Math.floor(tile.peak / tile.width)
        const column = from ? clamp(from.column + reach * move[1], tile.width) : tile.peak % tile.width
        aim(grid, tile, { pinned: from?.pinned, row, column })
        read(tile, { row, column })
        grid.told.textContent = `${tile.title}, row ${row}, column ${column}: ${tile.number.textContent}`
    } else return
    event.preventDefault()
}

function fillToolbar(grid) {
    const change = (name, value, done = true) => {
        grid.kept.view = { ...grid.kept.view, [name]: value }
        settleToolbar(grid)
        redraw(grid)
        if (done) grid.report()
    }
    const segments = (name, legend, choices) => {
        const set = element("fieldset", "segments")
        set.append(element("legend", "unseen", legend))
        for (const [value, [text, about]] of Object.entries(choices)) {
            const [label, input, face] = [element("label"), element("input"), element("span", "", text)]
            Object.assign(input, { type: "radio", name, value })
            face.dataset.text = label.title = text
            label.title = about
            input.addEventListener("change", () => change(name, value))
            label.append(input, face)
            set.append(label)
        }
        return set
    }
    const slider = element("label", "slider", "Map over picture")
    const [opacity, share] = [element("input"), element("output")]
    Object.assign(opacity, { type: "range", min: 0, max: 100, step: 5 })
    opacity.addEventListener("input", () => change("opacity", opacity.value / 100, false))
    opacity.addEventListener("change", () => change("opacity", opacity.value / 100))
    slider.append(opacity, share)
    const [check, outline] = [element("label", "check"), element("input")]
    outline.type = "checkbox"
    outline.addEventListener("change", () => change("outline", outline.checked))
    check.append(outline, "Outline of the object")
    grid.toolbar.append(
        segments("show", "Values", SHOWS), slider, segments("scale", "Scale of the colours", SCALES), check)
    grid.controls = { opacity, share, check, outline }
}

function settleToolbar(grid) { // the controls show the view, also one that came from a link
    const { view } = grid.kept
    const { opacity, share, check, outline } = grid.controls
    for (const radio of grid.toolbar.querySelectorAll("[type=radio]")) radio.checked = view[radio.name] === radio.value
    opacity.value = Math.round(100 * view.opacity)
    share.textContent = `${opacity.value}%`
    outline.checked = view.outline
    check.hidden = !grid.tiles.some(tile => tile.outline)
    grid.toolbar.hidden = !grid.tiles.some(tile => tile.values || tile.outline)
}

// ---- small hands ----

function fits(tile, cross) { // the cross is on the same pixel of every picture of the same size
    return !!cross && !tile.refused && tile.height === cross.height && tile.width === cross.width
}

