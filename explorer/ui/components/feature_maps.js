// A layer's units: tiles, one of them large over the picture, its weights, and the sum behind one of its pixels.
// Python sends maps as bytes once; hover and opacity happen here, a click asks Python for the exact sum.

const SHADES = 256 // of the colour table on either side of zero
const mounted = new WeakMap() // the place on the page → what is drawn there
const opacities = new Map() // key → how much of the map lies over the picture, which outlives a remount

export default async function featureMaps({ data, parentElement, setTriggerValue }) {
    const view = mounted.get(parentElement) ?? mount(parentElement)
    const turn = (view.turn = (view.turn ?? 0) + 1)
    view.pick = (unit, row = null, column = 0) => setTriggerValue("pick", { unit, row, column })
    const picture = data.large.picture ? await decodePicture(data.large.picture) : null
    if (turn === view.turn) take(view, data, picture) // else newer data came meanwhile
    return () => turn === view.turn && unmount(view)
}

function mount(place) {
    const root = element("div", "feature-maps")
    const overview = root.appendChild(element("section", "overview"))
    const detail = root.appendChild(element("div", "detail"))
    const view = { place, root, overview, unit: detail.appendChild(element("section", "unit")),
        formula: detail.appendChild(element("section", "formula")), frame: 0, hover: null }
    overview.setAttribute("aria-label", "Units of the layer")
    view.unit.setAttribute("aria-label", "The chosen unit")
    view.formula.setAttribute("aria-label", "The sum")
    view.themed = new MutationObserver(() => schedule(view)) // Streamlit renames the class around us with the theme
    const around = place.host?.parentElement ?? place.parentElement
    if (around) view.themed.observe(around, { attributes: true })
    view.resized = new ResizeObserver(() => schedule(view))
    view.resized.observe(root)
    place.append(root)
    mounted.set(place, view)
    return view
}

function unmount(view) {
    view.themed.disconnect()
    view.resized.disconnect()
    cancelAnimationFrame(view.frame)
    view.root.remove()
    mounted.delete(view.place)
}

function take(view, data, picture) {
    Object.assign(view, { data, picture, hover: null, paints: [] })
    view.large = decodeFine(data.large.codes, data.large.limit)
    view.opacity = opacities.get(data.key) ?? 0.8
    buildOverview(view)
    buildUnit(view)
    buildFormula(view)
    paint(view)
}

function schedule(view) {
    view.frame ||= requestAnimationFrame(() => {
        view.frame = 0
        if (view.data) paint(view)
    })
}

function paint(view) {
    const page = rgb(getComputedStyle(view.root).getPropertyValue("--st-background-color") || "white")
    view.dark = luminance(page) < 128
    const palette = view.data.palettes[view.dark ? "dark" : "light"]
    view.signed = table([...palette.signed.slice(0, 5).map(rgb), page, ...palette.signed.slice(5).map(rgb)], true)
    view.sizes = table([page, ...palette.size.map(rgb)], false)
    view.page = page
    for (const one of view.paints) one()
}

function table(colours, both) { // colours of shares from -1 to 1, or from 0 to 1
    return Array.from({ length: 2 * SHADES + 1 }, (_, at) => {
        const share = at / SHADES - 1
        return blend(colours, both ? (share + 1) / 2 : Math.max(0, share))
    })
}

function colour(view, value, end, signed = view.data.signed) {
    const share = Math.max(-1, Math.min(1, value / (end || 1)))
    return (signed ? view.signed : view.sizes)[Math.round((share + 1) * SHADES)]
}

// ---- overview: tiles, a heat map of tokens, or bars ----

function buildOverview(view) {
    const { data, overview } = view
    const focused = view.place.activeElement?.dataset?.unit ?? view.root.getRootNode().activeElement?.dataset?.unit
    overview.replaceChildren()
    if (data.form === "tokens" || data.form === "vector") buildStrip(view)
    else {
        const grid = overview.appendChild(element("div", "tiles"))
        grid.style.setProperty("--tile", data.tiles.length > 40 ? "56px" : "72px")
        for (const sent of data.tiles) buildTile(view, grid, sent)
        overview.append(scaleBar(view))
        if (focused !== undefined) grid.querySelector(`[data-unit="${focused}"]`)?.focus({ preventScroll: true })
    }
}

function buildTile(view, grid, sent) {
    const { data } = view
    const button = grid.appendChild(element("button", "tile"))
    button.type = "button"
    button.dataset.unit = sent.unit
    const chosen = sent.unit === data.large.unit
    button.setAttribute("aria-pressed", chosen)
    button.setAttribute("aria-label", `Unit ${sent.unit}, ${sent.note}, largest ${digits(sent.limit, 3)}`)
    button.title = `Unit ${sent.unit} · ${sent.note} · colours end at ${digits(sent.end, 3)}`
    const pen = sheet(data.width, data.height)
    pen.canvas.style.aspectRatio = `${data.width} / ${data.height}`
    const name = element("span", "name")
    name.append(element("b", "", String(sent.unit)), element("i", "", sent.note))
    button.append(pen.canvas, name)
    button.addEventListener("click", () => view.pick(sent.unit))
    const values = decodeCodes(sent.codes, sent.limit, data.signed)
    view.paints.push(() => {
        const image = pen.createImageData(data.width, data.height)
        values.forEach((value, at) => image.data.set([...colour(view, value, sent.end), 255], 4 * at))
        pen.putImageData(image, 0, 0)
    })
}

function scaleBar(view) {
    const { data } = view
    const bar = element("div", "scale")
    const ends = data.tiles.map(tile => tile.end)
    const alike = Math.max(...ends) === Math.min(...ends)
    const [left, ramp, right] = [element("span"), element("span", "ramp"), element("span")]
    right.textContent = alike ? digits(ends[0], 3) : "own largest"
    left.textContent = !data.signed ? "0" : alike ? `−${digits(ends[0], 3)}` : "−own largest"
    bar.append(left, ramp, right)
    view.paints.push(() => {
        const stops = Array.from({ length: 13 }, (_, at) =>
            `rgb(${colour(view, data.signed ? at / 6 - 1 : at / 12, 1)})`)
        ramp.style.background = `linear-gradient(to right, ${stops})`
    })
    return bar
}

function buildStrip(view) { // tokens are rows and units columns; one row of units is drawn as bars
    const { data, overview } = view
    const bars = data.form === "vector"
    const [rows, columns] = [bars ? 1 : data.height, data.tiles.length]
    const values = data.tiles.map(tile => decodeCodes(tile.codes, tile.limit, data.signed))
    const frame = overview.appendChild(element("div", `strip${bars ? " bars" : ""}`))
    const names = frame.appendChild(element("div", "names"))
    for (let row = 0; row < rows && !bars; row++) {
        names.append(element("span", row === data.large.row ? "here" : "", data.rows[row] ?? String(row)))
    }
    const holder = frame.appendChild(element("div", "holder"))
    const canvas = holder.appendChild(element("canvas"))
    const told = overview.appendChild(element("p", "told"))
    overview.append(scaleBar(view))
    canvas.tabIndex = 0
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", `${columns} units${bars ? "" : ` of ${rows} tokens`}; click one to choose it`)
    const place = view.strip = { at: null }
    const where = () => {
        const spot = place.at ?? { row: data.large.row, tile: data.tiles.findIndex(t => t.unit === data.large.unit) }
        if (spot.tile < 0) return "Hover to read a value, click to choose it."
        const { unit, note } = data.tiles[spot.tile]
        const named = bars ? "" : `, ${data.rows[spot.row] ?? spot.row}`
        return `Unit ${unit}${named}: ${digits(values[spot.tile][spot.row], 3)}${note ? ` (${note})` : ""}`
    }
    const draw = () => {
        const cell = Math.max(5, Math.min(16, Math.floor(holder.clientWidth / columns)))
        const tall = bars ? 120 : 18
        const sharp = window.devicePixelRatio || 1
        const [width, height] = [cell * columns, tall * rows]
        Object.assign(canvas, { width: width * sharp, height: height * sharp })
        Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` })
        const pen = canvas.getContext("2d")
        pen.scale(sharp, sharp)
        const end = Math.max(...data.tiles.map(tile => tile.end))
        const zero = data.signed ? tall / 2 : tall
        data.tiles.forEach((tile, column) => {
            for (let row = 0; row < rows; row++) {
                const value = values[column][row]
                pen.fillStyle = `rgb(${colour(view, value, bars ? end : tile.end)})`
                if (!bars) pen.fillRect(column * cell, row * tall, cell, tall)
                else {
                    const long = Math.max(-1, Math.min(1, value / (end || 1))) * zero
                    pen.fillStyle = `rgb(${colour(view, Math.sign(value) * (0.45 + 0.55 * Math.abs(long / zero)), 1)})`
                    pen.fillRect(column * cell + 0.5, zero - Math.max(0, long), cell - 1, Math.max(1, Math.abs(long)))
                }
            }
        })
        pen.strokeStyle = view.dark ? "white" : "#17212e"
        const chosen = data.tiles.findIndex(tile => tile.unit === data.large.unit)
        const box = (tile, row, width) => {
            pen.lineWidth = width
            pen.strokeRect(tile * cell + width / 2, (bars ? 0 : row * tall) + width / 2, cell - width, tall - width)
        }
        if (bars && data.signed) { // the line of zero
            pen.globalAlpha = 0.3
            pen.fillStyle = pen.strokeStyle
            pen.fillRect(0, zero, width, 1)
            pen.globalAlpha = 1
        }
        if (chosen >= 0) box(chosen, data.large.row, 2)
        if (place.at) box(place.at.tile, place.at.row, 1)
        told.textContent = where()
    }
    view.paints.push(draw)
    const under = event => {
        const box = canvas.getBoundingClientRect()
        const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)))
        return {
            tile: clamp((event.clientX - box.left) / box.width, columns),
            row: clamp((event.clientY - box.top) / box.height, rows),
        }
    }
    canvas.addEventListener("pointermove", event => { place.at = under(event); draw() })
    canvas.addEventListener("pointerleave", () => { place.at = null; draw() })
    canvas.addEventListener("click", event => {
        const { tile, row } = under(event)
        view.pick(data.tiles[tile].unit, row, 0)
    })
    canvas.addEventListener("keydown", event => {
        const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
        const from = place.at ?? { row: data.large.row, tile: Math.max(0, data.tiles.findIndex(t => t.unit === data.large.unit)) }
        if (event.key === "Enter" || event.key === " ") view.pick(data.tiles[from.tile].unit, from.row, 0)
        else if (move) {
            place.at = {
                row: Math.max(0, Math.min(rows - 1, from.row + move[0])),
                tile: Math.max(0, Math.min(columns - 1, from.tile + move[1])),
            }
            draw()
        } else return
        event.preventDefault()
    })
}

// ---- the chosen unit ----

function buildUnit(view) {
    const { data, unit } = view
    const { large } = data
    unit.replaceChildren(element("h4", "", `Unit ${large.unit}`))
    if (data.form === "maps" || data.form === "patches") buildLarge(view)
    if (data.form === "tokens") buildText(view)
    const facts = unit.appendChild(element("dl", "facts"))
    for (const [name, text] of large.facts) facts.append(element("dt", "", name), element("dd", "", text))
    if (data.kernels) unit.append(data.kernels.flat ? weightsRow(view, data.kernels) : kernelPictures(view, data.kernels))
}

function buildLarge(view) {
    const { data, picture } = view
    const { large } = data
    const [tall, wide] = large.size ?? [large.height, large.width]
    const plate = view.unit.appendChild(element("div", "plate"))
    const canvas = plate.appendChild(element("canvas"))
    canvas.tabIndex = 0
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", `Map of unit ${large.unit} over the picture; arrow keys read it, Enter tells the sum`)
    canvas.style.aspectRatio = `${wide} / ${tall}`
    const told = view.unit.appendChild(element("p", "told"))
    told.setAttribute("aria-live", "polite")
    if (picture) {
        const slider = view.unit.appendChild(element("label", "slider", "Map over picture"))
        const [opacity, share] = [element("input"), element("output")]
        Object.assign(opacity, { type: "range", min: 0, max: 100, step: 5, value: 100 * view.opacity })
        const settle = () => { share.textContent = `${opacity.value}%` }
        opacity.addEventListener("input", () => {
            view.opacity = opacity.value / 100
            opacities.set(data.key, view.opacity)
            settle()
            draw()
        })
        settle()
        slider.append(opacity, share)
    }
    const pen = sheet(large.width, large.height)
    const shown = () => view.hover ?? place(large.row, large.column)
    const place = (row, column) => ({ // of the map as it is drawn, which may be coarser
        row: Math.min(large.height - 1, Math.floor((row * large.height) / large.full[0])),
        column: Math.min(large.width - 1, Math.floor((column * large.width) / large.full[1])),
    })
    const whole = at => ({ // back in the layer's own places
        row: large.height === large.full[0] ? at.row : Math.floor(((at.row + 0.5) * large.full[0]) / large.height),
        column: large.width === large.full[1] ? at.column : Math.floor(((at.column + 0.5) * large.full[1]) / large.width),
    })
    const draw = () => {
        const sharp = window.devicePixelRatio || 1
        const width = Math.round((canvas.clientWidth || 320) * sharp)
        Object.assign(canvas, { width, height: Math.round((width * tall) / wide) })
        const brush = canvas.getContext("2d")
        brush.imageSmoothingEnabled = false
        brush.fillStyle = `rgb(${view.page})`
        brush.fillRect(0, 0, canvas.width, canvas.height)
        if (picture) brush.drawImage(picture, 0, 0, canvas.width, canvas.height)
        const over = picture ? view.opacity : 1
        const image = pen.createImageData(large.width, large.height)
        view.large.forEach((value, at) => {
            const strength = Math.min(1, Math.abs(value) / (large.end || 1))
            const alpha = over === 1 ? 1 : over * (0.45 + 0.55 * strength ** 0.5)
            image.data.set([...colour(view, value, large.end), 255 * alpha], 4 * at)
        })
        pen.putImageData(image, 0, 0)
        brush.drawImage(pen.canvas, 0, 0, canvas.width, canvas.height)
        const [cellX, cellY] = [canvas.width / large.width, canvas.height / large.height]
        const here = place(large.row, large.column)
        if (large.box) {
            const [top, left, bottom, right] = large.box
            const [x, y] = [canvas.width / wide, canvas.height / tall]
            brush.setLineDash([6 * sharp, 4 * sharp])
            outline(view, brush, left * x, top * y, (right - left) * x, (bottom - top) * y, 1.5 * sharp)
            brush.setLineDash([])
        }
        outline(view, brush, here.column * cellX, here.row * cellY, cellX, cellY, 2 * sharp)
        if (view.hover) outline(view, brush, view.hover.column * cellX, view.hover.row * cellY, cellX, cellY, sharp)
        const at = shown()
        const said = view.hover ? whole(at) : large
        told.textContent = `row ${said.row}, column ${said.column}: ${digits(view.large[at.row * large.width + at.column], 4)}`
        if (!view.hover) told.textContent += large.box ? " · dashed: all that it can depend on" : ""
        else told.textContent += " · click for its sum"
    }
    view.paints.push(draw)
    const under = event => {
        const box = canvas.getBoundingClientRect()
        const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)))
        return {
            row: clamp((event.clientY - box.top) / box.height, large.height),
            column: clamp((event.clientX - box.left) / box.width, large.width),
        }
    }
    const choose = at => view.pick(large.unit, whole(at).row, whole(at).column)
    canvas.addEventListener("pointermove", event => { view.hover = under(event); draw() })
    canvas.addEventListener("pointerleave", () => { view.hover = null; draw() })
    canvas.addEventListener("click", event => choose(under(event)))
    canvas.addEventListener("keydown", event => {
        const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
        const from = shown()
        if (event.key === "Enter" || event.key === " ") choose(from)
        else if (move) {
            view.hover = {
                row: Math.max(0, Math.min(large.height - 1, from.row + move[0])),
                column: Math.max(0, Math.min(large.width - 1, from.column + move[1])),
            }
            draw()
        } else return
        event.preventDefault()
    })
}

function outline(view, brush, x, y, width, height, line) { // seen on anything
    const [ink, halo] = view.dark ? ["white", "rgba(0,0,0,0.7)"] : ["#17212e", "rgba(255,255,255,0.85)"]
    for (const [thick, colour] of [[2.4 * line, halo], [line, ink]]) {
        brush.lineWidth = thick
        brush.strokeStyle = colour
        brush.strokeRect(x, y, width, height)
    }
}

function buildText(view) { // the tokens in the colours of the unit
    const { data } = view
    const text = view.unit.appendChild(element("div", "text"))
    const words = Array.from(view.large, (value, row) => {
        const word = element("button", "word", data.rows[row] ?? String(row))
        word.type = "button"
        word.title = digits(value, 4)
        word.setAttribute("aria-pressed", row === data.large.row)
        word.setAttribute("aria-label", `${word.textContent}: ${digits(value, 4)}`)
        word.addEventListener("click", () => view.pick(data.large.unit, row, 0))
        return word
    })
    text.append(...words)
    view.paints.push(() => words.forEach((word, row) => {
        const shade = colour(view, view.large[row], data.large.end)
        word.style.background = `rgb(${shade})`
        word.style.color = luminance(shade) > 140 ? "#17212e" : "white"
    }))
}

function kernelPictures(view, kernels) {
    const [count, tall, wide] = kernels.shape
    const values = decodeFloats(kernels.values)
    const box = element("div", "kernels")
    const more = kernels.count > count ? `, the first ${count} drawn` : ""
    box.append(element("p", "small", `Kernels of ${kernels.layer}: ${kernels.count} of ${tall}×${wide}${more}; colours end at ±${digits(kernels.limit, 3)}`))
    const row = box.appendChild(element("div", "row"))
    const side = count > 24 ? 26 : 38
    const add = (name, fill) => {
        const pen = sheet(wide, tall)
        pen.canvas.style.width = `${side}px`
        pen.canvas.style.height = `${(side * tall) / wide}px`
        pen.canvas.title = name
        pen.canvas.setAttribute("role", "img")
        pen.canvas.setAttribute("aria-label", name)
        view.paints.push(() => {
            const image = pen.createImageData(wide, tall)
            for (let at = 0; at < tall * wide; at++) image.data.set([...fill(at), 255], 4 * at)
            pen.putImageData(image, 0, 0)
        })
        row.append(pen.canvas)
    }
    for (let one = 0; one < count; one++) {
        add(`Kernel over ${kernels.names[one]}`, at => colour(view, values[one * tall * wide + at], kernels.limit, true))
    }
    if (kernels.colour) {
        row.append(element("span", "small", "as a colour"))
        add("The three kernels as one colour, grey is zero", at =>
            [0, 1, 2].map(one => 127.5 * (1 + values[one * tall * wide + at] / (kernels.limit || 1))))
    }
    return box
}

function weightsRow(view, kernels) {
    const values = decodeFloats(kernels.values)
    const box = element("div", "kernels")
    box.append(element("p", "small", `Weights of ${kernels.layer}: ${kernels.count}, from −${digits(kernels.limit, 3)} to ${digits(kernels.limit, 3)}`))
    const canvas = box.appendChild(element("canvas", "weights"))
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", `${kernels.count} weights as bars`)
    view.paints.push(() => {
        const sharp = window.devicePixelRatio || 1
        Object.assign(canvas, { width: (canvas.clientWidth || 300) * sharp, height: 48 * sharp })
        const pen = canvas.getContext("2d")
        const step = canvas.width / values.length
        values.forEach((value, at) => {
            const long = (value / (kernels.limit || 1)) * canvas.height * 0.5
            pen.fillStyle = `rgb(${colour(view, Math.sign(value) * 0.7, 1, true)})`
            pen.fillRect(at * step, canvas.height / 2 - Math.max(0, long), Math.max(1, step * 0.85), Math.abs(long))
        })
    })
    return box
}

// ---- the sum ----

function buildFormula(view) {
    const { data, formula } = view
    formula.replaceChildren(element("h4", "", "How its number came about"))
    if (data.refusal) formula.append(element("p", "refusal", data.refusal))
    data.steps.forEach((step, at) => formula.append(buildStep(view, step, at)))
}

function buildStep(view, step, at) {
    const card = element("div", `step${step.asked ? " asked" : ""}`)
    const head = card.appendChild(element("div", "head"))
    head.append(element("b", "", step.layer), element("span", "small", step.kind))
    if (step.asked) head.append(element("span", "tag", "this layer"))
    card.append(element("code", "", step.formula))
    if (step.cells) card.append(windows(view, step))
    else if (step.terms.length) card.append(features(view, step))
    if (!step.terms.length && step.numbers.length) {
        const list = card.appendChild(element("div", "numbers"))
        for (const [symbol, value] of step.numbers) {
            const one = list.appendChild(element("span"))
            one.append(element("i", "", `${symbol} = `), digits(value, 4))
        }
    }
    const result = card.appendChild(element("div", "result"))
    const added = step.terms.map(term => term.sum)
    if (step.rest) added.push(step.rest.sum)
    if (step.bias !== null) added.push(step.bias)
    if (added.length > 1) result.append(element("span", "added", written(added)))
    result.append(element("b", "", `= ${digits(step.value, 5)}`))
    result.append(element("span", "small", `the network: ${digits(step.captured, 5)}`))
    if (step.note) card.append(element("p", "small", step.note))
    return card
}

function written(numbers) { // a + b − c
    return numbers.map((one, at) => (at ? (one < 0 ? " − " : " + ") : one < 0 ? "−" : "") + digits(Math.abs(one), 3)).join("")
}

function windows(view, step) { // patch × kernel = product, number by number
    const [tall, wide] = step.cells
    const list = element("div", "windows")
    const limits = ["patch", "kernel"].map(what => Math.max(...step.terms.flatMap(term => term[what].map(Math.abs))))
    const most = Math.max(...step.terms.flatMap(term => term.patch.map((x, at) => Math.abs(x * term.kernel[at]))))
    for (const term of step.terms) {
        const row = list.appendChild(element("div", "window"))
        row.append(element("span", "name", term.name))
        const line = row.appendChild(element("div", "line"))
        const product = term.patch.map((x, at) => x * term.kernel[at])
        const trio = [["what it reads", term.patch, limits[0]], ["weights", term.kernel, limits[1]], ["products", product, most]]
        trio.forEach(([name, values, limit], at) => {
            if (at) line.append(element("span", "sign", at === 1 ? "×" : "="))
            line.append(cells(view, `${term.name}: ${name}`, values, tall, wide, limit))
        })
        line.append(element("b", "sum", `Σ ${digits(term.sum, 3)}`))
    }
    if (step.rest) list.append(rest(step.rest))
    if (step.bias !== null) list.append(element("p", "small rest", `bias: ${digits(step.bias, 4)}`))
    return list
}

function cells(view, name, values, tall, wide, limit) {
    const canvas = element("canvas", "cells")
    const side = wide <= 3 ? 27 : wide <= 5 ? 22 : Math.max(6, Math.floor(90 / wide))
    canvas.setAttribute("role", "img")
    canvas.setAttribute("aria-label", `${name}: ${values.map(value => digits(value, 3)).join(", ")}`)
    canvas.title = values.map(value => digits(value, 4)).join("  ")
    Object.assign(canvas.style, { width: `${side * wide}px`, height: `${side * tall}px` })
    view.paints.push(() => {
        const sharp = window.devicePixelRatio || 1
        Object.assign(canvas, { width: side * wide * sharp, height: side * tall * sharp })
        const pen = canvas.getContext("2d")
        pen.scale(sharp, sharp)
        pen.font = `${side > 24 ? 9.5 : 8}px ${getComputedStyle(view.root).fontFamily}`
        pen.textAlign = "center"
        pen.textBaseline = "middle"
        values.forEach((value, at) => {
            const [x, y] = [(at % wide) * side, Math.floor(at / wide) * side]
            const shade = colour(view, value, limit, true)
            pen.fillStyle = `rgb(${shade})`
            pen.fillRect(x, y, side, side)
            if (side < 20) return
            pen.fillStyle = luminance(shade) > 140 ? "#17212e" : "white"
            pen.fillText(brief(value), x + side / 2, y + side / 2 + 0.5)
        })
    })
    return canvas
}

function features(view, step) { // one number times one weight each
    const list = element("div", "features")
    const most = Math.max(...step.terms.map(term => Math.abs(term.sum))) || 1
    for (const term of step.terms) {
        const plain = term.patch.length === 1
        list.append(element("span", "name", term.name))
        list.append(element("span", "maths", plain ? `${digits(term.patch[0], 3)} × ${digits(term.kernel[0], 3)}` : ""))
        const bar = list.appendChild(element("span", "bar"))
        const fill = bar.appendChild(element("span"))
        fill.style.width = `${(50 * Math.abs(term.sum)) / most}%`
        fill.style[term.sum < 0 ? "right" : "left"] = "50%"
        view.paints.push(() => (fill.style.background = `rgb(${colour(view, Math.sign(term.sum) * 0.75, 1, true)})`))
        list.append(element("b", "", digits(term.sum, 3)))
    }
    if (step.rest) list.append(rest(step.rest))
    if (step.bias !== null) list.append(element("p", "small rest", `bias: ${digits(step.bias, 4)}`))
    return list
}

function rest({ count, sum }) {
    return element("p", "small rest", `${count} other terms, smaller: ${digits(sum, 4)} together`)
}

// ---- small hands ----

async function decodePicture(png) {
    const image = new Image()
    image.src = `data:image/png;base64,${png}`
    await image.decode()
    return image
}

function decodeCodes(text, limit, signed) {
    const bytes = decodeBytes(text)
    return Float32Array.from(signed ? new Int8Array(bytes.buffer) : bytes, code => (code / (signed ? 127 : 255)) * limit)
}

function decodeFine(text, limit) {
    return Float64Array.from(new Int16Array(decodeBytes(text).buffer), code => (code / 32767) * limit)
}

function brief(value) { // at most four letters
    const size = Math.abs(value)
    if (size < 0.005) return value === 0 ? "0" : "~0"
    const text = size >= 100 ? size.toFixed(0) : size >= 10 ? size.toFixed(0) : size >= 1 ? size.toFixed(1) : size.toFixed(2).slice(1)
    return (value < 0 ? "−" : "") + text
}

function digits(value, count) {
    if (value === 0) return "0"
    if (value === null || !Number.isFinite(value)) return "–"
    const [size, sign] = [Math.abs(value), value < 0 ? "−" : ""]
    const short = Number(size.toPrecision(count))
    return sign + (size < 1e-3 || size >= 1e5 ? short.toExponential() : short)
}

