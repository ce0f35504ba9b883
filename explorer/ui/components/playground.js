// A small network over points of the plane. Python sends its weights in each frame; all the rest is computed here: the
// map of each unit, the regions of the classes, losses. Points put down by hand are reported as state `drawn`.
// A column is what stands in one: 0 the inputs, then the hidden layers, then the head, whose units are the classes.

const NODES = 61 // of the grid on a side, on which units are computed
const PIXELS = 180 // of the regions on a side; logits between nodes are straight
const SHADES = 64 // of a class, from unsure to sure
const MOST_UNITS = 16 // of a layer that are drawn
const WIDE = 640 // pixels from which the plane stands beside the network
const PLANE = { least: 300, most: 400 } // pixels on its side
const GAP = 24 // pixels between network and plane
const NEAR = 7 // pixels around the pointer within which a line is found
const SPRAY = 8 // pixels of a moving pointer for each point
const RUB = 11 // pixels around the pointer that are rubbed out
const UNDONE = 100 // strokes that can be undone
const WITHIN = 0.98 // of the values of a column, which its scale holds: a few far ones must not pale the others
const BINS = 512 // in which they are counted
const EXTRA = { none: 0, batch: 4, layer: 2 } // numbers of a norm for each unit
const EPSILON = 1e-5 // of both norms
const ACTIVATION_NAMES = {
    none: "linear", relu: "ReLU", "leaky-relu": "Leaky ReLU", elu: "ELU", silu: "SiLU", gelu: "GELU", mish: "Mish",
    tanh: "tanh", sigmoid: "sigmoid",
}
const SETS = { train: "Training", test: "Test" }
const NORM_NAMES = { none: "", batch: "batch norm", layer: "layer norm" }
const HINT = "Hover a unit or a line to read it; click it to hold it and to change its numbers by hand."
const SCALES = "Blue is negative, orange positive. Each column has its own scale: 98 % of its values lie within the " +
    "± below it. The thickest line of a layer is its largest weight."

const PLAYGROUND = {
    name: "playground",
    html: `
        <div class="head"><p class="label"></p><div class="badge" hidden><span>Changed by hand</span></div></div>
        <div class="field">
            <div class="left">
                <div class="net"><div class="stage"><canvas class="lines" role="img"></canvas><div class="tip"></div>
                </div></div>
                <div class="desk"><p class="hint"></p></div>
                <p class="scales"></p>
            </div>
            <div class="right">
                <div class="above"><span class="classes"></span></div>
                <canvas class="plane" tabindex="0"></canvas>
                <p class="readout"></p>
                <p class="score"></p>
                <div class="palette" role="group" aria-label="Put down points"></div>
            </div>
        </div>`,
    fill, decode, take, draw,
    spoken: (view, at) => view.data?.network?.told[at],
}

export default component => {
    const { parentElement, setStateValue } = component
    const data = follow(mounted.get(parentElement), component.data)
    const shown = show(PLAYGROUND, { ...component, data })
    mounted.get(parentElement).publish = drawn => setStateValue("drawn", drawn)
    return shown
}

// A run that goes on: the bar stays where it is, at the end at the end, and keeps playing. Where it is now stands in
// the data, too, so that the report of a rest is not put off by each of the frames that come in meanwhile.
function follow(view, data) {
    if (!view?.kept || view.kept.seed !== data.seed || data.frames < view.kept.of) return data
    const { kept, bar } = view
    if (!bar.playing && bar.at >= kept.of - 1) bar.at = kept.at = data.frames - 1
    kept.of = data.frames
    return { ...data, at: bar.at }
}

// ---- data ----

function decode({ network, train, test, start }) {
    return {
        weights: network && decodeFloats(network.weights), // (F, P)
        train: decodeSet(train), test: test && decodeSet(test), start: decodeSet(start),
    }
}

function decodeSet({ points, classes }) { // [x, y, class] of each
    const flat = decodeFloats(points)
    return Array.from(decodeBytes(classes), (label, at) => [flat[2 * at], flat[2 * at + 1], label])
}

function encodeSet(points) {
    const encode = array => btoa(Array.from(new Uint8Array(array.buffer), byte => String.fromCharCode(byte)).join(""))
    return {
        points: encode(Float32Array.from(points.flatMap(([x, y]) => [x, y]))),
        classes: encode(Uint8Array.from(points, point => point[2])),
    }
}

function take(view, data, decoded) {
    const { kept } = view
    Object.assign(view, { data, ...decoded, scene: null, width: 0 })
    view.layers = data.network?.layers ?? []
    view.size = view.layers.reduce((sum, layer) => sum + numbersOf(layer), 0)
    kept.drawn ??= decoded.start
    kept.past ??= []
    kept.tool ??= "0"
    kept.set = data.test ? (kept.set ?? "train") : "train"
    const run = JSON.stringify([data.network?.layers, [...(decoded.weights ?? []).slice(0, 8)]])
    if (kept.run !== run) Object.assign(kept, { run, edits: null, changes: 0 })
    view.grid = gridOf(data.extent)
    build(view)
    settleControls(view)
    settleBar(view.bar)
}

function numbersOf({ inputs, units, norm }) {
    return units * (inputs + 1 + EXTRA[norm])
}

// ---- the network in numbers ----

// Weights of one frame, layer by layer: views of `numbers`, so that a change there is a change here.
function partsOf(layers, numbers) {
    let at = 0
    const next = count => numbers.subarray(at, (at += count))
    return layers.map(layer => {
        const weight = next(layer.units * layer.inputs) // (units, inputs)
        const bias = next(layer.units)
        return { ...layer, weight, bias, extra: Array.from({ length: EXTRA[layer.norm] }, () => next(layer.units)) }
    })
}

// What each layer gives at points, from values of the inputs: a Float32Array over the points for each unit.
// store: such arrays to write into, since making large ones costs more than filling them.
function forward(network, inputs, store = roomFor(network, inputs[0].length)) {
    let values = inputs
    return network.map((layer, at) => {
        values = linear(layer, values, store[at])
        NORMS[layer.norm](values, layer.extra)
        const activation = ACTIVATIONS[layer.activation]
        if (activation) values.forEach(line => apply(activation, line))
        return values
    })
}

function roomFor(layers, count) {
    return layers.map(({ units }) => Array.from({ length: units }, () => new Float32Array(count)))
}

function linear({ weight, bias, inputs }, values, into) {
    into.forEach((sum, unit) => {
        sum.fill(bias[unit])
        for (let from = 0; from < inputs; from++) {
            const [factor, line] = [weight[unit * inputs + from], values[from]]
            for (let at = 0; at < sum.length; at++) sum[at] += factor * line[at]
        }
    })
    return into
}

function apply(activation, line) {
    for (let at = 0; at < line.length; at++) line[at] = activation(line[at])
}

const NORMS = {
    none() {},
    batch(values, [weight, bias, mean, variance]) { // each unit by its running statistics
        values.forEach((line, unit) => {
            const scale = weight[unit] / Math.sqrt(variance[unit] + EPSILON)
            for (let at = 0; at < line.length; at++) line[at] = (line[at] - mean[unit]) * scale + bias[unit]
        })
    },
    layer(values, [weight, bias]) { // each point across the units
        const [mean, scale] = momentsOf(values)
        values.forEach((line, unit) => {
            const [factor, shift] = [weight[unit], bias[unit]]
            for (let at = 0; at < line.length; at++) line[at] = (line[at] - mean[at]) * scale[at] * factor + shift
        })
    },
}

function momentsOf(values) { // at each point, of its units: their mean, and one over their standard deviation
    const [mean, scale] = [0, 0].map(() => new Float64Array(values[0].length))
    for (const line of values) {
        for (let at = 0; at < line.length; at++) mean[at] += line[at] / values.length
    }
    for (const line of values) {
        for (let at = 0; at < line.length; at++) {
            const far = line[at] - mean[at]
            scale[at] += (far * far) / values.length
        }
    }
    for (let at = 0; at < scale.length; at++) scale[at] = 1 / Math.sqrt(scale[at] + EPSILON)
    return [mean, scale]
}

const sigmoid = x => 1 / (1 + Math.exp(-x))
const ACTIVATIONS = {
    none: null,
    relu: x => (x < 0 ? 0 : x),
    "leaky-relu": x => (x < 0 ? 0.01 * x : x),
    elu: x => (x < 0 ? Math.expm1(x) : x),
    silu: x => x * sigmoid(x),
    gelu: x => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
    mish: x => { // x tanh(log(1 + eˣ)), in one exponential
        if (x > 20) return x
        const power = Math.exp(x)
        return (x * power * (power + 2)) / (power * (power + 2) + 2)
    },
    tanh: x => 1 - 2 / (Math.exp(2 * x) + 1),
    sigmoid,
}

function erf(x) { // Abramowitz and Stegun (1964), 7.1.26: wrong by 1.5e-7 at most
    const t = 1 / (1 + 0.3275911 * Math.abs(x))
    const sum = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return Math.sign(x) * (1 - sum * Math.exp(-x * x))
}

function softmax(logits) {
    const most = Math.max(...logits)
    const powers = logits.map(logit => Math.exp(logit - most))
    const sum = powers.reduce((total, power) => total + power, 0)
    return powers.map(power => power / sum)
}

function gridOf(extent) { // x and y of all nodes, row by row from the top
    const along = Float32Array.from({ length: NODES }, (_, at) => extent * ((2 * at) / (NODES - 1) - 1))
    const [x, y] = [new Float32Array(NODES ** 2), new Float32Array(NODES ** 2)]
    for (let at = 0; at < NODES ** 2; at++) {
        x[at] = along[at % NODES]
        y[at] = -along[Math.floor(at / NODES)]
    }
    return [x, y]
}

// ---- what is to be seen at this frame, computed anew where weights or points are others ----

function frameOf(view) {
    return Math.min(Math.round(view.bar.at), view.data.network.steps.length - 1)
}

function sceneOf(view) {
    if (!view.weights) return null
    const at = frameOf(view)
    const name = `${at} ${editsOf(view).length && view.kept.changes}`
    if (view.scene?.name === name) return view.scene
    const numbers = view.weights.slice(at * view.size, (at + 1) * view.size)
    const network = partsOf(view.layers, numbers)
    for (const { column, unit, from, value } of editsOf(view)) slot(network, { column, unit, from }, value)
    const maps = [view.grid, ...forward(network, view.grid, view.store)] // [column][unit] (NODES²,)
    const ranges = maps.map(units => units.map(rangeOf)) // [column][unit] [least, most]
    const limits = maps.map((units, column) => limitOf(units, largestOf(ranges[column].flat())))
    const largest = network.map(({ weight }) => largestOf(rangeOf(weight)))
    view.scene = { name, network, maps, ranges, limits, largest, painted: null, verdicts: new Map() }
    return view.scene
}

function rangeOf(values) { // of those that are finite: a network that diverged may have none
    let [least, most] = [Infinity, -Infinity]
    for (let at = 0; at < values.length; at++) {
        const value = values[at]
        if (value < least && value > -Infinity) least = value
        if (value > most && value < Infinity) most = value
    }
    return least <= most ? [least, most] : [0, 0]
}

function largestOf(values) {
    return Math.max(1e-6, ...values.map(Math.abs))
}

function limitOf(lines, largest) { // within which WITHIN of all values lie, to a bin
    const bins = new Uint32Array(BINS + 1)
    const scale = BINS / largest
    for (const line of lines) for (let at = 0; at < line.length; at++) bins[(Math.abs(line[at]) * scale) | 0]++
    let left = WITHIN * lines.length * lines[0].length
    const bin = bins.findIndex(count => (left -= count) <= 0)
    return (Math.min(BINS, bin + 1) / BINS) * largest
}

// A weight, or with from null a bias, of the unit in that column; with a value, it is set.
function slot(network, { column, unit, from }, value) {
    const { weight, bias, inputs } = network[column - 1]
    const [array, at] = from === null ? [bias, unit] : [weight, unit * inputs + from]
    if (value !== undefined) array[at] = value
    return array[at]
}

function valuesAt(scene, x, y) { // [column][unit] of one point
    const inputs = [Float32Array.of(x), Float32Array.of(y)]
    return [inputs, ...forward(scene.network, inputs)].map(units => units.map(([value]) => value))
}

function shownPoints(view, set = view.kept.set) {
    return set === "test" ? view.test : view.data.drawing ? [...view.train, ...view.kept.drawn] : view.train
}

function verdictOf(view, scene, set) { // of the points of a set: which are wrong, and the mean loss
    const points = shownPoints(view, set)
    if (!points.length) return { wrong: new Set(), loss: 0, count: 0 }
    const known = scene.verdicts.get(set)
    if (known?.drawn === view.kept.drawn) return known
    const inputs = [0, 1].map(axis => Float32Array.from(points, point => point[axis]))
    const logits = forward(scene.network, inputs).at(-1)
    const verdict = { wrong: new Set(), loss: 0, count: points.length, drawn: view.kept.drawn }
    points.forEach(([, , label], at) => {
        const here = logits.map(line => line[at])
        const most = Math.max(...here)
        const sum = here.reduce((total, logit) => total + Math.exp(logit - most), 0)
        verdict.loss += (Math.log(sum) + most - here[label]) / points.length // cross-entropy
        if (!(here[label] >= most)) verdict.wrong.add(at)
    })
    scene.verdicts.set(set, verdict)
    return verdict
}

// ---- the network on the page: its nodes stay while the architecture does ----

function fill(view) {
    const find = name => view.root.querySelector(`.${name}`)
    for (const name of ["head", "label", "badge", "left", "stage", "lines", "tip", "scales", "desk", "hint", "classes",
        "above", "plane", "readout", "score", "palette"]) view[name] = find(name)
    Object.assign(view, { hover: null, cursor: null, stroke: null, columns: [] })
    view.scales.textContent = SCALES
    const pen = sheet(PIXELS, PIXELS)
    view.regions = { pen, image: pen.createImageData(PIXELS, PIXELS) }
    view.badge.append(button("Back to what was learned", () => { view.kept.edits = null; touch(view) }))
    view.scores = Object.fromEntries(Object.entries(SETS).map(([set, name]) => {
        const [line, text] = [element("span"), element("span")]
        line.append(element("b", "", name), text)
        view.score.append(line)
        return [set, text]
    }))
    view.editor = makeEditor(view)
    view.desk.append(view.editor.node)
    view.switch = segments("Points", SETS, value => {
        view.kept.set = value
        schedule(view)
    })
    view.above.append(view.switch)
    listenNet(view)
    listenPlane(view)
    view.root.addEventListener("keydown", event => {
        if (event.key === "Escape") letGo(view)
        else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && view.data.drawing &&
            event.target.type !== "number") undo(view)
        else return
        event.preventDefault()
    })
}

function build(view) {
    const structure = JSON.stringify([view.layers, view.data.labels, view.data.drawing])
    view.left.hidden = !view.layers.length
    if (view.structure !== structure) {
        view.structure = structure
        view.store = roomFor(view.layers, NODES ** 2)
        view.hover = null
        view.kept.held = fits(view, view.kept.held) ? view.kept.held : null
        for (const node of view.stage.querySelectorAll(".column")) node.remove()
        view.columns = view.layers.length ? [2, ...view.layers.map(layer => layer.units)].map((units, column) =>
            makeColumn(view, column, units)) : []
        view.stage.append(...view.columns.map(column => column.node))
        makePalette(view)
        view.inks = null
    }
    for (const column of view.columns) choose(view, column)
}

function fits(view, target) {
    return target && target.unit < (target.column ? view.layers[target.column - 1]?.units ?? 0 : 2)
}

function makeColumn(view, column, total) {
    const node = element("div", "column")
    const layer = view.layers[column - 1]
    const [title, ...rest] = column === 0 ? ["Inputs"] : column === view.layers.length ? ["Output", "logits"] : [
        `Hidden ${column}`, ACTIVATION_NAMES[layer.activation], NORM_NAMES[layer.norm]]
    const [head, foot] = [element("p", "top"), element("p", "foot")]
    head.append(element("b", "", title), ...rest.filter(Boolean).map(text => element("span", "", text)))
    const [scale, fewer] = [element("span", "scale"), element("span", "fewer")]
    if (total > MOST_UNITS) fewer.textContent = `${MOST_UNITS} of ${total}`
    fewer.title = "Those with the largest weights into the next layer"
    foot.append(scale, fewer)
    const made = { node, title, column, total, foot, scale }
    made.units = Array.from({ length: Math.min(total, MOST_UNITS) }, (_, place) => makeUnit(view, made, place))
    node.append(head, ...made.units.map(unit => unit.node), foot)
    return made
}

function makeUnit(view, { column }, place) {
    const [node, canvas] = [button("", () => hold(view, targetOf())), element("canvas")]
    node.className = "unit"
    node.tabIndex = column || place ? -1 : 0
    Object.assign(canvas, { width: NODES, height: NODES })
    canvas.setAttribute("role", "img")
    node.append(canvas, ...(column ? [] : [element("span", "axis", ["x", "y"][place])]))
    const pen = canvas.getContext("2d")
    const made = { node, canvas, pen, image: pen.createImageData(NODES, NODES), unit: place }
    const targetOf = () => ({ column, unit: made.unit, from: null })
    node.addEventListener("focus", () => node.matches(":focus-visible") && hover(view, targetOf()))
    node.addEventListener("blur", () => hover(view, null))
    node.addEventListener("keydown", event => wander(view, column, place, event))
    return made
}

function choose(view, { column, total, units }) { // which units of a layer are drawn: those that weigh most
    let some = Array.from({ length: total }, (_, unit) => unit)
    if (total > MOST_UNITS) {
        const next = partsOf(view.layers, view.weights.subarray(-view.size))[column]
        const out = unit => Array.from({ length: next.units }, (_, to) => next.weight[to * next.inputs + unit] ** 2)
        const size = some.map(unit => out(unit).reduce((sum, square) => sum + square, 0))
        const { held } = view.kept
        if (held?.column === column) size[held.unit] = Infinity // it must not go away
        some = some.sort((a, b) => size[b] - size[a]).slice(0, MOST_UNITS).sort((a, b) => a - b)
    }
    units.forEach((made, place) => { made.unit = some[place] })
}

function wander(view, column, place, event) { // arrow keys go from unit to unit
    const move = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key]
    if (!move) return
    event.preventDefault()
    const goal = view.columns[column + move[0]]
    if (!goal) return
    const from = view.columns[column].units[place]
    const distance = made => Math.abs(made.y - from.y - move[1] * view.geometry.step)
    const { node } = goal.units.reduce((near, made) => (distance(made) < distance(near) ? made : near))
    for (const made of [from.node, node]) made.tabIndex = made === node ? 0 : -1
    node.focus()
}

function nameOf(view, column, unit) {
    if (column === 0) return ["x", "y"][unit]
    if (column === view.layers.length) return `output ${view.data.labels[unit]}`
    return `hidden ${column}, unit ${unit + 1}`
}

function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1)
}

// ---- where everything stands ----

function layOut(view) {
    const room = (view.width = view.laid = view.root.clientWidth)
    const narrow = room < WIDE
    view.root.classList.toggle("narrow", narrow)
    view.root.classList.toggle("bare", !view.layers.length)
    if (!view.layers.length) return place(view.plane, Math.min(room, PLANE.most))
    const count = view.columns.length
    const rows = Math.max(...view.columns.map(column => column.units.length))
    const unit = Math.max(28, Math.min(52, Math.floor(380 / rows) - 8))
    const space = narrow ? room : room - PLANE.least - GAP
    const margin = Math.max(24, (78 - unit) / 2) // for the words above a column, and those before the inputs
    const pitch = Math.max(unit + 44, Math.min(240, Math.floor((space - unit - 2 * margin) / (count - 1))))
    const width = 2 * margin + unit + pitch * (count - 1)
    const side = narrow ? Math.min(room, 360) : Math.max(PLANE.least, Math.min(PLANE.most, room - GAP - width))
    place(view.plane, side)
    const top = view.layers.some(layer => layer.norm !== "none") ? 58 : 42 // the words above a column
    view.geometry = { unit, pitch, margin, width, step: unit + 8, top, height: top + rows * (unit + 8) + 36, rows }
    placeColumns(view)
}

function place(canvas, side) {
    canvas.style.width = canvas.style.height = `${side}px`
    canvas.parentElement.style.setProperty("--side", `${side}px`)
}

function placeColumns(view) {
    const { unit, pitch, margin, width, step, top, height, rows } = view.geometry
    Object.assign(view.stage.style, { width: `${width}px`, height: `${height}px` })
    view.stage.style.setProperty("--unit", `${unit}px`)
    for (const { node, units, column, foot } of view.columns) {
        const word = Math.min(pitch, unit + 2 * margin) - 4
        Object.assign(node.style, { left: `${margin + column * pitch}px`, width: `${unit}px` })
        node.style.setProperty("--word", `${word}px`)
        const first = top + ((rows - units.length) * step) / 2
        units.forEach((made, at) => {
            made.x = margin + column * pitch
            made.y = first + at * step + unit / 2 // its middle
            made.node.style.top = `${made.y - unit / 2}px`
        })
        foot.style.top = `${top + rows * step + 2}px`
    }
}

// ---- drawing ----

function draw(view) {
    if (!view.data) return
    const inks = inksOf(view)
    if (inks.shades === undefined) paintClasses(view, inks)
    if (view.width !== view.laid || !view.width) layOut(view)
    if (!view.width) return // not on the screen
    const scene = sceneOf(view)
    if (scene) {
        steady(view.label, view.data.network.told[frameOf(view)], widest(view.data.network.told))
        view.badge.hidden = !editsOf(view).length
        if (scene.painted !== inks) paintUnits(view, scene, inks)
        paintLines(view, scene, inks)
        markUnits(view)
        settleEditor(view, scene)
    }
    view.head.hidden = !scene
    paintPlane(view, scene, inks)
    tell(view, scene)
}

function paintClasses(view, inks) { // colours by class and by how sure: the page's own where nothing is known
    inks.classes = view.data.labels.map((_, at) => rgb(inks.categorical[at]))
    inks.shades = inks.classes.map(colour => Uint32Array.from({ length: SHADES }, (_, shade) =>
        packed(blend([inks.page, colour], 0.06 + 0.64 * (shade / (SHADES - 1))))))
    inks.codes = Uint32Array.from({ length: 256 }, (_, code) => packed(inks.signed.subarray(4 * code, 4 * code + 3)))
    const { signed } = view.palettes[inks.dark ? "dark" : "light"]
    ;[inks.negative, inks.positive] = [signed[1], signed[8]]
    view.data.labels.forEach((_, at) => view.root.style.setProperty(`--class-${at}`, inks.categorical[at]))
    view.classes.replaceChildren(...view.data.labels.map((label, at) => dotted(element("span", "entry", label), at)))
}

function packed(colour) {
    return new Uint32Array(Uint8Array.of(...colour.map(Math.round), 255).buffer)[0]
}

function paintUnits(view, scene, inks) {
    for (const { column, units, scale } of view.columns) {
        const limit = scene.limits[column]
        say(scale, `±${short(limit)}`)
        for (const { unit, canvas, pen, image } of units) {
            paintSigned(pen, image, scene.maps[column][unit], limit, inks)
            const [least, most] = scene.ranges[column][unit]
            const told = `from ${decimal(least, 3)} to ${decimal(most, 3)} over the plane`
            canvas.setAttribute("aria-label", `${capital(nameOf(view, column, unit))}: ${told}`)
        }
    }
    scene.regions = paintRegions(view.regions, scene.maps.at(-1), inks)
    scene.painted = inks
}

function paintSigned(pen, image, values, limit, { codes }) {
    const pixels = new Uint32Array(image.data.buffer)
    const scale = 127.5 / limit
    for (let at = 0; at < pixels.length; at++) {
        const code = 128 + scale * values[at]
        pixels[at] = codes[code < 0 ? 0 : code >= 256 ? 255 : Math.floor(code)] // what is not a number stays clear
    }
    pen.putImageData(image, 0, 0)
}

// The likeliest class of each pixel, stronger where it is sure: 1/C is not sure at all.
function paintRegions({ pen, image }, logits, { shades }) {
    const count = logits.length
    const pixels = new Uint32Array(image.data.buffer)
    const here = new Float64Array(count)
    for (let row = 0, at = 0; row < PIXELS; row++) {
        const [top, down] = [NODE[row], SHARE[row]]
        for (let column = 0; column < PIXELS; column++, at++) {
            const [corner, right] = [top * NODES + NODE[column], SHARE[column]]
            let best = 0
            for (let label = 0; label < count; label++) {
                const map = logits[label]
                const upper = map[corner] + (map[corner + 1] - map[corner]) * right
                const lower = map[corner + NODES] + (map[corner + NODES + 1] - map[corner + NODES]) * right
                here[label] = upper + (lower - upper) * down
                if (here[label] > here[best]) best = label
            }
            let sum = 1
            for (let label = 0; label < count; label++) if (label !== best) sum += Math.exp(here[label] - here[best])
            const sure = (1 / sum - 1 / count) / (1 - 1 / count)
            pixels[at] = shades[best][Math.round(sure * (SHADES - 1))]
        }
    }
    pen.putImageData(image, 0, 0)
    return pen.canvas
}

// Of each pixel of the regions: the node before it, and its share of the way to the next
const PLACES = Array.from({ length: PIXELS }, (_, pixel) => ((pixel + 0.5) * (NODES - 1)) / PIXELS)
const NODE = Uint8Array.from(PLACES, Math.floor)
const SHARE = Float64Array.from(PLACES, place => place % 1)

function paintLines(view, scene, inks) {
    const { width, height } = view.geometry
    const pen = resize(view.lines, width, height)
    const focus = view.hover ?? view.kept.held
    const thick = view.geometry.rows > 8 ? 3 : 4.5
    pen.clearRect(0, 0, width, height)
    eachLine(view, (source, unit, column) => {
        const value = slot(scene.network, { column, unit: unit.unit, from: source.unit })
        const share = Math.min(1, Math.abs(value) / scene.largest[column - 1])
        const shown = focus ? touches(focus, source, unit, column) : true
        pen.globalAlpha = shown ? (focus ? 0.35 : 0.12) + 0.65 * share : 0.04
        pen.lineWidth = 0.5 + thick * share
        pen.strokeStyle = value < 0 ? inks.negative : inks.positive
        const [x0, x1] = ends(view, source, unit)
        const third = (x1 - x0) / 3
        pen.beginPath()
        pen.moveTo(x0, source.y)
        pen.bezierCurveTo(x0 + third, source.y, x1 - third, unit.y, x1, unit.y)
        pen.stroke()
    })
    pen.globalAlpha = 1
    const told = scene.largest.map((largest, at) => `${decimal(largest, 2)} into ${view.columns[at + 1].title}`)
    view.lines.setAttribute("aria-label", `Weights between units as lines; the largest are ${told.join(", ")}`)
}

function eachLine(view, act) {
    for (const { column, units } of view.columns.slice(1)) {
        for (const unit of units) for (const source of view.columns[column - 1].units) act(source, unit, column)
    }
}

function ends(view, source, unit) {
    return [source.x + view.geometry.unit, unit.x]
}

function touches(focus, source, unit, column) { // is it the line in focus, or one of the unit in focus?
    if (focus.from !== null) return focus.column === column && focus.unit === unit.unit && focus.from === source.unit
    return focus.unit === (focus.column === column ? unit.unit : focus.column === column - 1 ? source.unit : null)
}

function markUnits(view) {
    const { held } = view.kept
    for (const { column, units } of view.columns) {
        for (const { node, unit } of units) {
            const pressed = same(held, { column, unit, from: null })
            node.classList.toggle("held", pressed)
            node.setAttribute("aria-pressed", pressed)
            if (column === view.layers.length) node.style.setProperty("--rim", `var(--class-${unit})`)
        }
    }
}

// ---- the plane ----

function largeUnit(view) { // the unit that the plane shows instead of the classes
    const focus = view.hover ?? view.kept.held
    return focus?.from === null ? focus : null
}

function paintPlane(view, scene, inks) {
    const side = parseFloat(view.plane.style.width)
    const pen = resize(view.plane, side, side)
    const large = scene && largeUnit(view)
    pen.clearRect(0, 0, side, side)
    pen.imageSmoothingEnabled = true
    if (large) {
        const { canvas } = view.columns[large.column].units.find(made => made.unit === large.unit)
        pen.drawImage(canvas, 0.5, 0.5, NODES - 1, NODES - 1, 0, 0, side, side) // nodes, not pixels, reach the edge
    } else if (scene) pen.drawImage(scene.regions, 0, 0, side, side)
    paintAxes(pen, side, view.data.extent, inks)
    const verdict = scene && verdictOf(view, scene, view.kept.set)
    paintPoints(view, pen, side, verdict?.wrong, inks)
    if (!scene && !shownPoints(view).length && view.data.drawing) paintInvitation(pen, side, inks)
    if (view.cursor) paintCursor(view, pen, side, inks)
    view.plane.setAttribute("aria-label", planeTold(view, large, verdict))
    view.plane.setAttribute("role", view.data.drawing ? "application" : "img")
}

function paintAxes(pen, side, extent, inks) {
    pen.strokeStyle = pen.fillStyle = inks.text
    pen.lineWidth = 1
    pen.globalAlpha = 0.18
    const middle = Math.round(side / 2) + 0.5
    pen.stroke(new Path2D(`M0 ${middle}H${side}M${middle} 0V${side}`))
    Object.assign(pen, { font: inks.font, lineWidth: 3, lineJoin: "round", strokeStyle: `rgb(${inks.page})` })
    const write = (value, x, y, align, baseline) => { // on a halo, since any colour may lie under it
        Object.assign(pen, { textAlign: align, textBaseline: baseline, globalAlpha: 0.6 })
        pen.strokeText(short(value), x, y)
        pen.globalAlpha = 0.85
        pen.fillText(short(value), x, y)
    }
    write(-extent, 5, middle + 3, "left", "top")
    write(extent, side - 5, middle + 3, "right", "top")
    write(extent, middle + 5, 5, "left", "top")
    write(-extent, middle + 5, side - 5, "left", "bottom")
    pen.globalAlpha = 1
}

function paintPoints(view, pen, side, wrong, inks) {
    const { extent } = view.data
    const radius = view.kept.set === "test" ? 3.2 : 3.5
    pen.lineWidth = 1.25
    shownPoints(view).forEach(([x, y, label], at) => {
        const [across, down] = [side / 2 + (x / extent) * (side / 2), side / 2 - (y / extent) * (side / 2)]
        circle(pen, across, down, radius, inks.categorical[label], `rgb(${inks.page})`)
        if (wrong?.has(at)) circle(pen, across, down, radius + 2.5, null, inks.text)
    })
}

function circle(pen, x, y, radius, inside, outline) {
    pen.beginPath()
    pen.arc(x, y, radius, 0, 2 * Math.PI)
    if (inside) {
        pen.fillStyle = inside
        pen.fill()
    }
    pen.strokeStyle = outline
    pen.stroke()
}

function paintInvitation(pen, side, inks) {
    Object.assign(pen, { textAlign: "center", textBaseline: "middle", lineWidth: 10 })
    Object.assign(pen, { fillStyle: inks.text, strokeStyle: `rgb(${inks.page})` })
    pen.strokeText("Click or drag to put down points", side / 2, side / 2)
    pen.globalAlpha = 0.75
    pen.fillText("Click or drag to put down points", side / 2, side / 2)
    pen.globalAlpha = 1
}

function paintCursor(view, pen, side, inks) {
    const [x, y] = pixelOf(view, view.cursor, side)
    const rubs = view.data.drawing && view.kept.tool === "rub"
    const ink = view.data.drawing && !rubs ? inks.categorical[view.kept.tool] : inks.text
    for (const [wide, colour] of [[3.5, `rgb(${inks.page})`], [1.5, ink]]) { // one in the other is seen on anything
        pen.lineWidth = wide
        pen.strokeStyle = colour
        if (rubs) circle(pen, x, y, RUB, null, colour)
        else pen.stroke(new Path2D(`M${x - 9} ${y}h5m8 0h5M${x} ${y - 9}v5m0 8v5`))
    }
}

function planeTold(view, large, verdict) {
    const { extent, labels } = view.data
    const what = large ? `Map of ${nameOf(view, large.column, large.unit)}` : verdict
        ? `Regions of ${labels.join(", ")}` : "The plane"
    const points = `${shownPoints(view).length} ${view.kept.set === "test" ? "test" : "training"} points`
    const wrong = verdict ? `, ${verdict.wrong.size} of them wrong and ringed` : ""
    const keys = view.data.drawing ? ". Arrow keys move the cursor, Enter puts a point" : ""
    return `${what} from ${short(-extent)} to ${short(extent)}: ${points}${wrong}${keys}`
}

// ---- what is told in words ----

function tell(view, scene) {
    const read = view.cursor && readingOf(view, scene)
    const idle = scene ? idleTold(view, scene) : ""
    const room = ["(−0.00, −0.00):", ...(scene ? view.data.labels.map(label => `${label} 100.0 %`) : [])].join(" · ")
    steady(view.readout, read ?? idle, widest([room, idle]))
    view.readout.classList.toggle("idle", !read)
    view.score.hidden = !scene
    for (const [set, node] of Object.entries(view.scores)) {
        node.parentElement.hidden = !view[set]
        if (scene && view[set]) say(node, scoreOf(view, scene, set))
    }
    const focus = view.hover ?? view.kept.held
    view.hint.hidden = !!view.kept.held
    say(view.hint, focus && scene ? focusTold(view, scene, focus) : HINT)
    view.tip.hidden = !view.hover?.at
    if (scene && view.hover?.at) placeTip(view, numberTold(view, scene, view.hover), view.hover.at)
    if (view.data.drawing) say(view.count, countOf(view))
}

function idleTold(view, scene) {
    const large = largeUnit(view)
    if (!large) return "Hover the plane to read it. Points that are wrong are ringed."
    const limit = short(scene.limits[large.column])
    return `Map of ${nameOf(view, large.column, large.unit)}: blue −${limit}, orange ${limit}`
}

function readingOf(view, scene) { // numbers where the cursor is
    const { x, y } = view.cursor
    const where = `(${decimal(x, 2)}, ${decimal(y, 2)})`
    delete view.plane.dataset.read
    if (!scene) return where
    const values = valuesAt(scene, x, y)
    const shares = softmax(values.at(-1))
    view.plane.dataset.read = JSON.stringify({ x, y, values, shares })
    const large = largeUnit(view)
    if (large) {
        return `${where}: ${nameOf(view, large.column, large.unit)} is ${decimal(values[large.column][large.unit], 3)}`
    }
    return `${where}: ${view.data.labels.map((label, at) => `${label} ${percent(shares[at])}`).join(" · ")}`
}

function scoreOf(view, scene, set) {
    const { wrong, loss, count } = verdictOf(view, scene, set)
    const { of } = view.data[set]
    const drawn = set === "train" && view.data.drawing ? view.kept.drawn.length : 0
    const some = of + drawn > count ? ` of ${count} shown` : ""
    if (!count) return "no points"
    const size = Number.isFinite(loss) ? decimal(loss, 3) : "not a number"
    return `loss ${size} · ${percent(1 - wrong.size / count)} right${some}`
}

function focusTold(view, scene, { column, unit, from }) {
    const [name, number] = [nameOf(view, column, unit), numberTold(view, scene, { column, unit, from })]
    if (from !== null) return `From ${nameOf(view, column - 1, from)} to ${name}: ${number}`
    const [least, most] = scene.ranges[column][unit]
    const bias = column ? `${number}, ` : ""
    return `${capital(name)}: ${bias}from ${decimal(least, 2)} to ${decimal(most, 2)} over the plane`
}

function numberTold(view, { network }, { column, unit, from }) { // short, since it stands over the units beside it
    if (column === 0) return nameOf(view, column, unit)
    return `${from === null ? "bias" : "weight"} ${decimal(slot(network, { column, unit, from }), 3)}`
}

function placeTip(view, text, { x, y }) {
    const { tip } = view
    tip.textContent = text
    const half = tip.offsetWidth / 2
    tip.style.left = `${Math.max(half, Math.min(view.geometry.width - half, x))}px`
    tip.style.top = `${y < 70 ? y + 22 : y - tip.offsetHeight - 12}px`
}

function percent(share) {
    return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "not a number"
}

function short(value) {
    return `${value < 0 ? "−" : ""}${Number(Math.abs(value).toPrecision(3))}`
}

// ---- what the person points at and holds ----

function listenNet(view) {
    view.stage.addEventListener("pointermove", event => hover(view, targetAt(view, event)))
    view.stage.addEventListener("pointerleave", () => hover(view, null))
    view.stage.addEventListener("click", event => {
        if (event.target.closest(".unit")) return // it has its own
        const target = targetAt(view, event)
        if (target) hold(view, target)
    })
}

function targetAt(view, event) { // a unit, a line or nothing; at: the place of the pointer on the stage
    const box = view.stage.getBoundingClientRect()
    const at = { x: event.clientX - box.left, y: event.clientY - box.top }
    for (const { column, units } of view.columns) {
        const found = units.find(({ node }) => node.contains(event.target))
        if (found) return { column, unit: found.unit, from: null, at }
    }
    const line = lineAt(view, at)
    return line && { ...line, at }
}

function lineAt(view, { x, y }) {
    let [found, best] = [null, NEAR]
    eachLine(view, (source, unit, column) => {
        const [x0, x1] = ends(view, source, unit)
        const t = (x - x0) / (x1 - x0) // handles at thirds: x goes evenly along the curve
        if (t < 0 || t > 1) return
        const rise = unit.y - source.y
        const slope = (rise * 6 * t * (1 - t)) / (x1 - x0)
        const far = Math.abs(source.y + rise * t * t * (3 - 2 * t) - y) / Math.hypot(1, slope)
        if (far < best) [found, best] = [{ column, unit: unit.unit, from: source.unit }, far]
    })
    return found
}

function same(one, other) {
    return !!one && !!other && one.column === other.column && one.unit === other.unit && one.from === other.from
}

function hover(view, target) {
    view.hover = target
    view.stage.classList.toggle("pointing", !!target)
    schedule(view)
}

function hold(view, { column, unit, from }) {
    const target = { column, unit, from }
    view.kept.held = same(view.kept.held, target) ? null : target
    if (!view.kept.held && same(view.hover, target)) view.hover = null
    const scene = sceneOf(view)
    view.told.textContent = view.kept.held ? `Held. ${focusTold(view, scene, target)}` : "Let go."
    schedule(view)
}

function letGo(view) {
    Object.assign(view, { hover: null, cursor: null })
    view.kept.held = null
    schedule(view)
}

// ---- numbers changed by hand: they belong to one frame ----

function editsOf(view) {
    const { edits } = view.kept
    return edits && edits.step === view.data.network?.steps[frameOf(view)] ? edits.list : []
}

function change(view, target, value) {
    const step = view.data.network.steps[frameOf(view)]
    const others = editsOf(view).filter(edit => !same(edit, target))
    view.kept.edits = { step, list: [...others, { ...target, value }] }
    touch(view)
}

function touch(view) {
    view.kept.changes++
    schedule(view)
}

function makeEditor(view) {
    const node = element("div", "editor")
    const [name, choice, number, range] = [element("b"), element("select"), element("input"), element("input")]
    Object.assign(number, { type: "number", step: "any" })
    Object.assign(range, { type: "range", step: 0.01 })
    choice.setAttribute("aria-label", "Which number of this unit")
    number.setAttribute("aria-label", "Its value")
    range.setAttribute("aria-label", "Its value as a slider")
    choice.addEventListener("change", () => {
        view.kept.held = { ...view.kept.held, from: choice.value === "bias" ? null : Number(choice.value) }
        schedule(view)
    })
    for (const input of [number, range]) {
        input.addEventListener("input", () => {
            if (Number.isFinite(input.valueAsNumber)) change(view, view.kept.held, input.valueAsNumber)
        })
    }
    const close = button("Let go", () => letGo(view))
    close.title = "Let go of what is held (Esc)"
    node.append(name, choice, range, number, close)
    return { node, name, choice, number, range }
}

function settleEditor(view, scene) {
    const { held } = view.kept
    const { node, name, choice, number, range } = view.editor
    node.hidden = !held
    if (!held) return
    say(name, capital(nameOf(view, held.column, held.unit)))
    for (const part of [choice, number, range]) part.hidden = !held.column // an input has no numbers of its own
    if (!held.column) return
    fillChoice(view, held)
    const value = slot(scene.network, held)
    const focused = view.root.getRootNode().activeElement
    const limit = Math.max(2, Math.ceil(2 * scene.largest[held.column - 1]))
    if (focused !== range) Object.assign(range, { min: -limit, max: limit, value })
    const typing = focused === number && (number.value === "" || Math.fround(number.value) === value)
    if (!typing) number.value = Number(value.toFixed(4))
}

function fillChoice(view, { column, unit, from }) {
    const { choice } = view.editor
    const name = `${view.structure} ${column} ${unit}`
    if (choice.dataset.of !== name) {
        choice.dataset.of = name
        const sources = Array.from({ length: view.layers[column - 1].inputs }, (_, source) =>
            new Option(`weight from ${nameOf(view, column - 1, source)}`, source))
        choice.replaceChildren(new Option("bias", "bias"), ...sources)
    }
    choice.value = from ?? "bias"
}

// ---- the pointer and the keys on the plane; points put down by hand ----

function listenPlane(view) {
    const { plane } = view
    plane.addEventListener("pointerdown", event => {
        if (!view.data.drawing || event.button !== 0 || view.stroke) return
        plane.setPointerCapture(event.pointerId)
        begin(view, event.pointerId)
        view.stroke.at = pointerOf(view, event)
        put(view, view.stroke.at)
    })
    plane.addEventListener("pointermove", event => {
        if (view.stroke?.pointer === event.pointerId) {
            const passed = event.getCoalescedEvents?.() ?? []
            for (const each of passed.length ? passed : [event]) drag(view, pointerOf(view, each))
        }
        view.cursor = valueOf(view, pointerOf(view, event))
        schedule(view)
    })
    plane.addEventListener("lostpointercapture", event => view.stroke?.pointer === event.pointerId && end(view))
    const leave = () => { if (!view.stroke) { view.cursor = null; schedule(view) } }
    plane.addEventListener("pointerleave", leave)
    plane.addEventListener("blur", leave)
    plane.addEventListener("keydown", event => steer(view, event))
}

function pointerOf(view, event) { // pixels of the page, from the plane's upper left corner
    const box = view.plane.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
}

function pixelOf({ data: { extent } }, { x, y }, side) {
    return [(side / 2) * (1 + x / extent), (side / 2) * (1 - y / extent)]
}

function valueOf(view, [across, down]) { // as it is kept and sent: 32 bits
    const { extent } = view.data
    const half = parseFloat(view.plane.style.width) / 2
    const clamp = value => Math.fround(Math.max(-extent, Math.min(extent, value)))
    return { x: clamp((across / half - 1) * extent), y: clamp((1 - down / half) * extent) }
}

function begin(view, pointer = null) {
    view.stroke = { pointer, before: view.kept.drawn, since: 0 }
}

function put(view, at) { // one point, or none where it is rubbed out
    const { kept, data } = view
    if (kept.tool === "rub") return rub(view, at, at)
    const { x, y } = valueOf(view, at)
    if (kept.drawn.length < data.most) kept.drawn = [...kept.drawn, [x, y, Number(kept.tool)]]
    kept.set = "train" // else it would not be seen
    settleControls(view)
    schedule(view)
}

function drag(view, to) {
    const { stroke } = view
    const from = stroke.at
    const length = Math.hypot(to[0] - from[0], to[1] - from[1])
    stroke.at = to
    if (view.kept.tool === "rub") return rub(view, from, to)
    for (stroke.since += length; stroke.since >= SPRAY; stroke.since -= SPRAY) {
        const share = 1 - (stroke.since - SPRAY) / length
        put(view, from.map((start, axis) => start + (to[axis] - start) * Math.min(1, share)))
    }
}

function rub(view, from, to) { // all within RUB of the pointer's way
    const side = parseFloat(view.plane.style.width)
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]]
    view.kept.drawn = view.kept.drawn.filter(([x, y]) => {
        const [across, down] = pixelOf(view, { x, y }, side)
        const along = ((across - from[0]) * dx + (down - from[1]) * dy) / (dx * dx + dy * dy || 1)
        const share = Math.max(0, Math.min(1, along))
        return Math.hypot(across - from[0] - share * dx, down - from[1] - share * dy) > RUB
    })
    schedule(view)
}

function end(view) {
    const { before } = view.stroke
    view.stroke = null
    if (before.length === view.kept.drawn.length && before.every((point, at) => point === view.kept.drawn[at])) return
    view.kept.past = [...view.kept.past, before].slice(-UNDONE)
    report(view)
}

function report(view) { // all points, so that a report that comes late or is overtaken takes nothing away
    view.publish(encodeSet(view.kept.drawn))
    settleControls(view)
    schedule(view)
}

function undo(view) {
    if (view.stroke || !view.kept.past.length) return
    view.kept.drawn = view.kept.past.at(-1)
    view.kept.past = view.kept.past.slice(0, -1)
    report(view)
    view.told.textContent = `Undone. ${countOf(view)}`
}

function steer(view, event) {
    const move = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key]
    const puts = view.data.drawing && (event.key === "Enter" || event.key === " ")
    if ((!move && !puts) || view.stroke) return
    event.preventDefault()
    const { extent } = view.data
    const { x, y } = view.cursor ?? { x: 0, y: 0 }
    const reach = (event.shiftKey ? 0.25 : 0.05) * extent
    const clamp = value => Math.fround(Math.max(-extent, Math.min(extent, value)))
    view.cursor = move ? { x: clamp(x + reach * move[0]), y: clamp(y + reach * move[1]) } : { x, y }
    if (puts) {
        begin(view)
        put(view, pixelOf(view, view.cursor, parseFloat(view.plane.style.width)))
        end(view)
    }
    const counted = puts ? ` ${countOf(view)}` : ""
    view.told.textContent = `${readingOf(view, sceneOf(view))}.${counted}`
    schedule(view)
}

function countOf({ kept: { drawn }, data: { labels, most } }) {
    const each = labels.map((label, at) => `${label} ${drawn.filter(point => point[2] === at).length}`)
    return drawn.length < most ? `Put down: ${each.join(" · ")}` : `Full: ${most} points · ${each.join(" · ")}`
}

function makePalette(view) {
    view.palette.hidden = !view.data.drawing
    if (!view.data.drawing) return
    const { labels } = view.data
    const tools = Object.fromEntries([...labels.map((label, at) => [at, label]), ["rub", "Rub out"]])
    view.tools = segments("Put down", tools, value => { view.kept.tool = value; schedule(view) })
    ;[...view.tools.querySelectorAll("label > span")].slice(0, -1).forEach(dotted)
    if (!(view.kept.tool in tools)) view.kept.tool = "0"
    view.undo = button("Undo", () => undo(view))
    view.undo.title = "Take back the last stroke (Ctrl+Z)"
    view.clear = button("Clear", () => {
        begin(view)
        view.kept.drawn = []
        end(view)
    })
    view.count = element("p", "count")
    const row = element("div", "row")
    row.append(view.undo, view.clear, view.count)
    view.palette.replaceChildren(element("span", "caption", "Put down points of class"), view.tools, row)
}

function settleControls(view) {
    const { kept, data } = view
    view.switch.hidden = !data.test
    for (const radio of view.switch.querySelectorAll("input")) radio.checked = radio.value === kept.set
    if (!data.drawing) return
    for (const radio of view.tools.querySelectorAll("input")) radio.checked = radio.value === kept.tool
    view.undo.disabled = !kept.past.length
    view.clear.disabled = !kept.drawn.length
}

// ---- small hands ----

function button(text, act) {
    const made = element("button", "", text)
    made.type = "button"
    made.addEventListener("click", act)
    return made
}

function say(node, text) { // the same text again would be laid out again
    if (node.textContent !== text) node.textContent = text
}

function segments(name, choices, act) { // one of several, each a piece of one button
    const set = element("fieldset", "segments")
    set.append(element("legend", "unseen", name))
    for (const [value, text] of Object.entries(choices)) {
        const [label, input] = [element("label"), element("input")]
        Object.assign(input, { type: "radio", name, value })
        input.addEventListener("change", () => act(value))
        label.append(input, element("span", "", text))
        set.append(label)
    }
    return set
}

function dotted(node, at) { // with the colour of its class before it
    node.prepend(element("i"))
    node.style.setProperty("--colour", `var(--class-${at})`)
    return node
}
