// ---- grid: layers × heads, one small matrix each ----

VIEWS.grid = {
    title: "All heads",
    about: "Layers × heads, each a small matrix: queries down, keys across",

    make(ui) {
        const node = element("div", "grid-view")
        node.innerHTML = `<div class="legend"></div><div class="box"><div class="thumbs" role="grid"></div></div>`
        return node
    },

    draw(ui, node) {
        const { part } = ui.now
        const [legend, box] = node.children
        legend.replaceChildren(element("span", "", "Queries run down, keys across, in every picture."), scaleBar(ui))
        const thumbs = box.firstChild
        const roles = ui.data.roles[part.name]
        const shape = [part.name, part.layers, part.heads].join()
        if (node.dataset.shape !== shape) {
            node.dataset.shape = shape
            thumbs.style.setProperty("--heads", part.heads)
            thumbs.replaceChildren(element("span", "corner"), ...Array.from({ length: part.heads }, (_, head) => element("span", "head-number", `Head ${head + FIRST}`)))
            for (let layer = 0; layer < part.layers; layer++) {
                thumbs.append(element("span", "layer-number", `Layer ${layer + FIRST}`))
                for (let head = 0; head < part.heads; head++) thumbs.append(thumbButton(ui, layer, head))
            }
        }
        thumbs.querySelectorAll("button").forEach((button, at) => {
            const [layer, head] = [Math.floor(at / part.heads), at % part.heads]
            const role = roles?.[layer]?.[head] ?? ""
            thumbnail(ui, button.firstChild, layer, head)
            button.lastChild.textContent = role
            button.lastChild.hidden = !roles
            const current = ui.now.layer === layer && ui.now.heads.includes(head) && (layer > 0 || head > 0 || ui.kept.options.visited)
            current ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current")
            button.ariaLabel = `Layer ${layer + FIRST}, head ${head + FIRST}${role && `, ${role}`}: open`
        })
    },

    paint() {},
}

function thumbButton(ui, layer, head) {
    const button = element("button", "thumb")
    button.type = "button"
    Object.assign(button.dataset, { layer, head })
    button.append(element("canvas"), element("span", "role"))
    const enlarge = () => previewTip(ui, button, layer, head)
    const away = () => { ui.tip.hidden = true }
    button.addEventListener("pointerenter", event => event.pointerType === "mouse" && enlarge())
    button.addEventListener("pointerleave", away)
    button.addEventListener("focus", () => button.matches(":focus-visible") && enlarge())
    button.addEventListener("blur", away)
    button.addEventListener("click", () => {
        Object.assign(ui.kept.options, { opened: true, visited: true })
        select(ui, { layer, heads: [head], view: "matrix", token: null, key: null })
    })
    button.addEventListener("keydown", event => {
        const move = { ArrowUp: -ui.now.part.heads, ArrowDown: ui.now.part.heads, ArrowLeft: -1, ArrowRight: 1 }[event.key]
        if (!move) return
        const all = [...button.parentElement.querySelectorAll("button")]
        all[all.indexOf(button) + move]?.focus()
        event.preventDefault()
    })
    return button
}

// The matrix of a head, a canvas pixel for each weight.
function thumbnail(ui, canvas, layer, head) {
    const { queries, keys, part } = ui.now
    let [values, width, height] = [matrixOf(ui, head, layer), keys.length, queries.length]
    if (!values && part.thumbs) {
        [width, height] = [Math.min(40, part.keys.length), Math.min(40, part.queries.length)]
        const at = (layer * part.heads + head) * width * height
        values = part.thumbs.subarray(at, at + width * height)
    }
    if (!values || !width || !height) return Object.assign(canvas, { width: 1, height: 1 })
    Object.assign(canvas, { width, height })
    canvas.getContext("2d").putImageData(pixels(ui, values, width, height), 0, 0)
    canvas.style.aspectRatio = String(Math.max(0.5, Math.min(2, width / height)))
}

function previewTip(ui, button, layer, head) {
    const { part, queries, keys, gap } = ui.now
    const role = ui.data.roles[part.name]?.[layer]?.[head]
    const canvas = element("canvas", "enlarged")
    thumbnail(ui, canvas, layer, head)
    const content = [element("b", "", `Layer ${layer + FIRST} · head ${head + FIRST}`)]
    if (role) content.push(element("span", "", role))
    content.push(canvas)
    const matrix = matrixOf(ui, head, layer)
    if (matrix?.length) {
        const most = matrix.reduce((best, value, at) => (Math.abs(value) > Math.abs(matrix[best]) ? at : best), 0)
        const [query, key] = [queries[Math.floor(most / keys.length)], keys[most % keys.length]]
        content.push(element("span", "muted", `Strongest: ${ui.now.queryNames[query]} → ${ui.now.keyNames[key]}: ${weightText(ui, matrix[most], gap)}`))
    }
    showTip(ui, content, button.getBoundingClientRect())
}

// ---- heads: two columns of tokens, joined by lines ----

const LEVELS = 14 // of opacity: lines of one head and level are one path

VIEWS.heads = {
    title: "Links",
    about: "Two columns of tokens joined by lines, one colour for each head",

    make(ui) {
        const node = element("div", "panes")
        node.innerHTML = `<div class="box" data-steer tabindex="0" role="group" aria-label="Links between tokens: arrow keys move, Enter holds, Escape lets go">
            <div class="ends"><span>Queries: who looks</span><span>Keys: who is looked at</span></div>
            <div class="loom"><canvas></canvas><div class="column queries"></div><div class="column keys"></div></div></div>
            <aside class="side"></aside>`
        const loom = node.querySelector(".loom")
        const under = event => {
            const { left, right, high, queries, keys } = node.loom
            const box = loom.getBoundingClientRect()
            const [x, row] = [event.clientX - box.left, Math.floor((event.clientY - box.top) / high)]
            if (x < left + 8 && row >= 0 && row < queries.length) return { token: queries[row], key: null }
            if (x > right - 8 && row >= 0 && row < keys.length) return { token: null, key: keys[row] }
            return null
        }
        loom.addEventListener("pointermove", event => point(ui, under(event)))
        loom.addEventListener("pointerleave", () => point(ui, null))
        loom.addEventListener("click", event => {
            const at = under(event)
            if (at) hold(ui, at.token !== null ? "token" : "key", at.token ?? at.key)
            else if (aimOf(ui).held) select(ui, { token: null, key: null })
        })
        node.firstElementChild.addEventListener("blur", () => point(ui, null))
        return node
    },

    draw(ui, node) {
        const { queries, keys, queryNames, keyNames, part } = ui.now
        const [box, side] = node.children
        const [canvas, first, second] = box.querySelector(".loom").children
        const count = Math.max(queries.length, keys.length)
        const high = Math.max(18, Math.min(24, Math.floor((ui.data.height - 36) / count))) // all in sight, if that can be
        const total = Math.min(760, box.clientWidth - 2)
        const fill = (column, at, names, segments) => {
            column.replaceChildren(...at.map(i => {
                const token = element("span", "token", names[i])
                token.title = names[i]
                if (segments) token.dataset.segment = segments[i]
                if (part.special[column === first ? 0 : 1].has(i)) token.classList.add("special")
                return token
            }))
            column.style.setProperty("--high", `${high}px`)
            column.style.maxWidth = `${Math.round(total * 0.31)}px`
        }
        fill(first, queries, queryNames, part.segments[0])
        fill(second, keys, keyNames, part.segments[1])
        box.querySelector(".loom").style.width = box.querySelector(".ends").style.width = `${total}px`
        box.querySelector(".loom").style.height = `${count * high + 4}px`
        const left = first.offsetWidth
        const right = total - second.offsetWidth - 46 // the weights in figures stand beyond the keys
        second.style.left = `${right}px`
        node.loom = { canvas, first, second, total, high, left, right, queries, keys, links: links(ui), base: null, tall: count * high + 4, side }
        node.loom.base = drawAll(ui, node.loom)
        const all = ui.now.heads.length * queries.length * keys.length
        ui.controls.mass.querySelector(".count").textContent = `${node.loom.links.length.toLocaleString("en")} of ${all.toLocaleString("en")} links`
        ui.controls.mass.dataset.links = node.loom.links.length
    },

    paint(ui, node, aim) {
        const { loom } = node
        const pen = sizeCanvas(loom.canvas, loom.total, loom.tall)
        const token = loom.queries.includes(aim.token) ? aim.token : null
        const key = loom.keys.includes(aim.key) ? aim.key : null
        const alone = token !== null || key !== null
        if (!alone) pen.drawImage(loom.base, 0, 0, loom.total, loom.tall)
        else {
            const [i, j] = [loom.queries.indexOf(token), loom.keys.indexOf(key)]
            shadeTokens(ui, loom, pen, i, j)
            stroke(ui, loom, pen, loom.links.filter(link => (i < 0 || link.i === i) && (j < 0 || link.j === j)))
        }
        mark(loom.first, loom.queries.indexOf(token), ui.kept.selection.token === token)
        mark(loom.second, loom.keys.indexOf(key), ui.kept.selection.key === key)
        listLinks(ui, loom.side, { token, key })
    },

    step(ui, dx, dy) {
        const { queries, keys } = ui.now
        const aim = aimOf(ui)
        const onKeys = aim.token === null && aim.key !== null
        const to = dx ? dx > 0 : onKeys
        const [list, at] = [to ? keys : queries, (onKeys ? keys : queries).indexOf(onKeys ? aim.key : aim.token)]
        const next = list[Math.max(0, Math.min(list.length - 1, at < 0 ? 0 : at + dy))]
        point(ui, to ? { token: null, key: next } : { token: next, key: null })
        const column = ui.nodes.heads.loom[to ? "second" : "first"]
        column.children[list.indexOf(next)]?.scrollIntoView({ block: "nearest" })
        const [best] = strongest(ui, to ? { token: null, key: next } : { token: next, key: null })
        tell(ui, `${to ? "Key" : "Query"} ${(to ? ui.now.keyNames : ui.now.queryNames)[next]}. ${best ? `Strongest ${linkText(ui, best)}` : ""}`)
    },
}

function mark(column, at, held) {
    column.querySelector(".on")?.classList.remove("on", "held")
    const token = column.children[at]
    token?.classList.add("on")
    token?.classList.toggle("held", held)
}

// For each query and head, the strongest links that together hold the chosen share of what is in sight.
function links(ui) {
    const { queries, keys, heads } = ui.now
    const found = []
    const share = ui.kept.options.mass / 100
    const order = new Uint16Array(keys.length)
    for (const head of heads) {
        const matrix = matrixOf(ui, head)
        for (let i = 0; i < queries.length; i++) {
            const row = matrix.subarray(i * keys.length, (i + 1) * keys.length)
            let total = 0
            for (let j = 0; j < keys.length; j++) { order[j] = j; total += Math.abs(row[j]) || 0 }
            order.sort((a, b) => Math.abs(row[b]) - Math.abs(row[a]))
            let sum = 0
            for (let at = 0; at < keys.length && sum < share * total - 1e-6; at++) {
                const weight = row[order[at]]
                if (!weight) break
                sum += Math.abs(weight)
                found.push({ head, i, j: order[at], weight })
            }
        }
    }
    return found
}

function drawAll(ui, loom) {
    const base = document.createElement("canvas")
    const pen = sizeCanvas(base, loom.total, loom.tall)
    stroke(ui, loom, pen, loom.links)
    return base
}

function stroke(ui, loom, pen, chosen) {
    const { left, right, high } = loom
    const { gap, part } = ui.now
    const paths = new Map()
    const bend = (right - left) * 0.45
    for (const { head, i, j, weight } of chosen) {
        const level = Math.max(1, Math.min(LEVELS, Math.ceil(LEVELS * (Math.abs(weight) / (gap ? part.top : 1)) ** 0.7)))
        const at = (gap ? (weight > 0 ? 1 : 0) : head) * (LEVELS + 1) + level
        let path = paths.get(at)
        if (!path) paths.set(at, (path = new Path2D()))
        const [from, to] = [(i + 0.5) * high, (j + 0.5) * high]
        path.moveTo(left + 4, from)
        path.bezierCurveTo(left + bend, from, right - bend, to, right - 4, to)
    }
    pen.lineCap = "round"
    for (const [at, path] of [...paths].sort((a, b) => (a[0] % (LEVELS + 1)) - (b[0] % (LEVELS + 1)))) { // strong ones on top
        const [kind, level] = [Math.floor(at / (LEVELS + 1)), at % (LEVELS + 1)]
        const colour = gap ? ui.inks.tints[kind ? 440 : 70] : ui.inks.heads[kind]
        pen.lineWidth = 1 + (1.6 * level) / LEVELS
        pen.strokeStyle = css(colour, 0.06 + 0.9 * (level / LEVELS))
        pen.stroke(path)
    }
}

// Of a query alone: each key's box is shaded by its weight, a stripe for each head; of a key alone, each query's.
function shadeTokens(ui, loom, pen, i, j) {
    const { keys, queries, heads, gap } = ui.now
    const { left, right, total, high } = loom
    const incoming = i < 0
    const count = incoming ? queries.length : keys.length
    const [start, wide] = incoming ? [0, left] : [right, total - 46 - right]
    const stripe = wide / heads.length
    const mean = meanMatrix(ui)
    heads.forEach((head, n) => {
        const matrix = matrixOf(ui, head)
        for (let at = 0; at < count; at++) {
            const weight = incoming ? matrix[at * keys.length + j] : matrix[i * keys.length + at]
            const share = Math.abs(weight) ** 0.7
            if (share < 0.02) continue
            pen.fillStyle = gap ? css(ui.inks.tints[weight > 0 ? 440 : 70], 0.75 * share) : css(ui.inks.heads[head], 0.75 * share)
            pen.fillRect(start + n * stripe, at * high + 1, heads.length > 1 ? stripe - 0.5 : stripe, high - 2)
        }
    })
    pen.font = `11px ${ui.inks.font}`
    pen.fillStyle = css(ui.inks.text, 0.75)
    pen.textBaseline = "middle"
    pen.textAlign = "right"
    if (incoming) return
    for (let at = 0; at < count; at++) {
        const weight = mean[i * keys.length + at]
        if (Math.abs(weight) >= 0.005) pen.fillText(number(weight, 2), total - 4, (at + 0.5) * high + 1)
    }
}

// ---- the list beside links and matrix ----

function strongest(ui, { token, key }, count = 10) {
    const { queries, keys, heads } = ui.now
    const mean = meanMatrix(ui)
    const found = []
    const [i, j] = [queries.indexOf(token), keys.indexOf(key)]
    for (let row = i < 0 ? 0 : i; row < (i < 0 ? queries.length : i + 1); row++) {
        for (let column = j < 0 ? 0 : j; column < (j < 0 ? keys.length : j + 1); column++) {
            const weight = mean[row * keys.length + column]
            if (found.length < count || Math.abs(weight) > Math.abs(found.at(-1).weight)) {
                const at = found.findIndex(other => Math.abs(other.weight) < Math.abs(weight))
                found.splice(at < 0 ? found.length : at, 0, { row, column, weight, heads })
                if (found.length > count) found.pop()
            }
        }
    }
    return found.filter(link => Math.abs(link.weight) >= 0.0005)
}

function linkText(ui, { row, column, weight }) {
    return `${ui.now.queryNames[ui.now.queries[row]]} → ${ui.now.keyNames[ui.now.keys[column]]}: ${weightText(ui, weight, ui.now.gap)}`
}

function listLinks(ui, side, aim) {
    const { queries, keys, queryNames, keyNames, heads, gap } = ui.now
    const of = [aim.token, aim.key, ui.mark, ui.now.layer, heads].join()
    if (side.dataset.of === of && side.inks === ui.inks) return
    side.dataset.of = of
    side.inks = ui.inks
    const found = strongest(ui, aim, aim.token === null && aim.key === null ? 10 : 12)
    const title = aim.token !== null && aim.key !== null ? "This link"
        : aim.token !== null ? `“${queryNames[aim.token]}” looks at` : aim.key !== null ? `Who looks at “${keyNames[aim.key]}”` : gap ? "Largest changes" : "Strongest links"
    const limit = Math.max(...found.map(link => Math.abs(link.weight)), 1e-9)
    const list = element("ol")
    for (const link of found) {
        const [query, key] = [queryNames[queries[link.row]], keyNames[keys[link.column]]]
        const row = element("li")
        const name = aim.token !== null && aim.key === null ? key : aim.key !== null && aim.token === null ? query : `${query} → ${key}`
        const text = element("span", "name", name)
        text.title = name
        const bar = element("span", "bar")
        for (const head of heads) { // stacked, each head's share of the mean
            const weight = matrixOf(ui, head)[link.row * keys.length + link.column] / heads.length
            const piece = element("i")
            piece.style.width = `${(100 * Math.abs(weight)) / limit}%`
            piece.style.background = gap ? css(ui.inks.tints[link.weight > 0 ? 440 : 70]) : css(ui.inks.heads[head])
            if (!gap || heads.length === 1) bar.append(piece)
        }
        if (gap && heads.length > 1) {
            const piece = element("i")
            piece.style.width = `${(100 * Math.abs(link.weight)) / limit}%`
            piece.style.background = css(ui.inks.tints[link.weight > 0 ? 440 : 70])
            bar.append(piece)
        }
        row.append(text, bar, element("b", "", weightText(ui, link.weight, gap, 3)))
        list.append(row)
    }
    const heading = element("h5", "", title)
    side.replaceChildren(heading)
    if (heads.length > 1) side.append(element("p", "muted", `Mean of ${heads.length} heads${gap ? "" : ", each with its share"}`))
    if (aim.token !== null && !gap) {
        const i = queries.indexOf(aim.token)
        const { sum, of: about } = rowSum(ui, aim.token, i, meanMatrix(ui))
        side.append(element("p", "muted", `The row sums to ${number(sum, 2)}${about}`))
    }
    side.append(found.length ? list : element("p", "muted", "No attention in sight."))
}

// ---- matrix ----

VIEWS.matrix = {
    title: "Matrix",
    about: "Tokens × tokens: rows look, columns are looked at",

    make(ui) {
        const node = element("div", "panes")
        node.innerHTML = `<div class="box" data-steer tabindex="0" role="group" aria-label="Matrix of weights: arrow keys move, Enter holds the row, Escape lets go">
            <div class="plate"><canvas class="across"></canvas><canvas class="down"></canvas><div class="cells"><canvas></canvas><canvas></canvas></div></div></div>
            <aside class="side"></aside>`
        const cells = node.querySelector(".cells")
        const under = event => {
            const { cell, queries, keys } = node.plate
            const box = cells.getBoundingClientRect()
            const [row, column] = [Math.floor((event.clientY - box.top) / cell), Math.floor((event.clientX - box.left) / cell)]
            return row >= 0 && row < queries.length && column >= 0 && column < keys.length ? { token: queries[row], key: keys[column] } : null
        }
        cells.addEventListener("pointermove", event => point(ui, under(event)))
        cells.addEventListener("pointerleave", () => point(ui, null))
        cells.addEventListener("click", event => {
            const at = under(event)
            if (at) hold(ui, "token", at.token)
        })
        node.firstElementChild.addEventListener("blur", () => point(ui, null))
        return node
    },

    draw(ui, node) {
        const { queries, keys, queryNames, keyNames, part } = ui.now
        const box = node.firstElementChild
        const [across, down, cells] = box.firstElementChild.children
        const measure = across.getContext("2d")
        measure.font = `12px ${ui.inks.font}`
        const widest = (names, at) => Math.max(0, ...at.map(i => measure.measureText(names[i]).width))
        const left = Math.min(130, Math.ceil(widest(queryNames, queries)) + 14)
        const long = Math.min(110, Math.ceil(widest(keyNames, keys)))
        const room = box.clientWidth - left - 6
        let cell = Math.max(11, Math.min(40, Math.floor(room / keys.length), queries.length > 30 ? 26 : 40))
        const slanted = cell >= 18
        const top = slanted ? Math.ceil(long * 0.75) + 18 : long + 12
        const spill = slanted ? Math.ceil(long * 0.75) + 4 : 0 // of the last slanted name, to the right
        if (slanted && keys.length * cell + spill > room) cell = Math.max(18, Math.floor((room - spill) / keys.length))
        const [wide, tall] = [keys.length * cell, queries.length * cell]
        node.plate = { cell, slanted, left, top, wide, tall, spill, queries, keys, across, down, side: node.children[1] }
        box.firstElementChild.style.gridTemplateColumns = `${left}px ${wide + spill}px`
        const matrix = meanMatrix(ui)
        node.plate.matrix = matrix
        const small = element("canvas")
        Object.assign(small, { width: keys.length, height: queries.length })
        if (matrix.length) small.getContext("2d").putImageData(pixels(ui, matrix, keys.length, queries.length), 0, 0)
        const pen = sizeCanvas(cells.children[0], wide, tall)
        Object.assign(cells.style, { width: `${wide}px`, height: `${tall}px` })
        pen.imageSmoothingEnabled = false
        if (matrix.length) pen.drawImage(small, 0, 0, wide, tall)
        pen.fillStyle = css(ui.inks.page, cell > 15 ? 1 : 0.5)
        for (let column = 1; column < keys.length; column++) pen.fillRect(column * cell - 0.5, 0, 1, tall)
        for (let row = 1; row < queries.length; row++) pen.fillRect(0, row * cell - 0.5, wide, 1)
        hatch(ui, pen, cell, part)
        figures(ui, pen, cell, matrix)
        pen.strokeStyle = ui.inks.line
        pen.strokeRect(0.5, 0.5, wide - 1, tall - 1)
    },

    paint(ui, node, aim) {
        const { plate } = node
        const { cell, queries, keys, wide, tall } = plate
        const held = queries.indexOf(ui.kept.selection.token)
        const [row, column] = [queries.indexOf(aim.token), keys.indexOf(aim.key)]
        const over = node.querySelector(".cells").children[1]
        const pen = sizeCanvas(over, wide, tall)
        const band = (x, y, w, h, colour, width) => {
            pen.strokeStyle = colour
            pen.lineWidth = width
            pen.strokeRect(x + width / 2, y + width / 2, w - width, h - width)
        }
        if (held >= 0) band(0, held * cell, wide, cell, ui.inks.primary, 2)
        if (row >= 0 && column >= 0) {
            pen.fillStyle = css(ui.inks.text, 0.07)
            pen.fillRect(0, row * cell, wide, cell)
            pen.fillRect(column * cell, 0, cell, tall)
            band(column * cell - 1, row * cell - 1, cell + 2, cell + 2, css(ui.inks.page), 3)
            band(column * cell - 1, row * cell - 1, cell + 2, cell + 2, css(ui.inks.text), 2)
        }
        labels(ui, plate, row >= 0 ? row : held, column, held)
        if (ui.hover && row >= 0 && column >= 0) cellTip(ui, node, row, column)
        else ui.tip.hidden = true
        listLinks(ui, plate.side, { token: row >= 0 ? aim.token : held >= 0 ? queries[held] : null, key: null })
    },

    step(ui, dx, dy) {
        const { queries, keys } = ui.now
        const aim = aimOf(ui)
        const move = (list, at, by) => list[at < 0 ? 0 : Math.max(0, Math.min(list.length - 1, at + by))]
        const [row, column] = [queries.indexOf(aim.token), keys.indexOf(aim.key)]
        const next = { token: move(queries, row, dy), key: move(keys, column, column < 0 ? 0 : dx) }
        point(ui, next)
        const { cell, left, top } = ui.nodes.matrix.plate
        const box = ui.nodes.matrix.firstElementChild
        const [x, y] = [left + keys.indexOf(next.key) * cell, top + queries.indexOf(next.token) * cell]
        const into = (from, size, at, edge) => Math.max(at + cell - size, Math.min(from, at - edge))
        box.scrollTo(into(box.scrollLeft, box.clientWidth, x, left), into(box.scrollTop, box.clientHeight, y, top))
        tell(ui, cellText(ui, queries.indexOf(next.token), keys.indexOf(next.key)))
    },
}

function cellText(ui, row, column) {
    const { queries, keys, queryNames, keyNames, part, gap } = ui.now
    const name = `${queryNames[queries[row]]} → ${keyNames[keys[column]]}`
    if (part.causal && keys[column] > queries[row]) return `${name}: masked, a later token`
    return `${name}: ${weightText(ui, ui.nodes.matrix.plate.matrix[row * keys.length + column], gap)}`
}

function cellTip(ui, node, row, column) {
    const { cell, matrix } = node.plate
    const box = node.querySelector(".cells").getBoundingClientRect()
    const rect = new DOMRect(box.left + column * cell, box.top + row * cell, cell, cell)
    const content = [element("b", "", cellText(ui, row, column))]
    const sum = rowSum(ui, ui.now.queries[row], row, matrix)
    if (sum) content.push(element("span", "muted", `row sum ${number(sum.sum, 2)}${sum.of}`))
    showTip(ui, content, rect)
}

function hatch(ui, pen, cell, part) { // where a query may not look
    if (!part.causal) return
    const { queries, keys } = ui.now
    const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 })
    const ink = tile.getContext("2d")
    ink.strokeStyle = css(ui.inks.text, 0.22)
    ink.lineWidth = 1
    for (const shift of [-8, 0, 8]) { ink.moveTo(shift, 8); ink.lineTo(shift + 8, 0) }
    ink.stroke()
    const path = new Path2D()
    queries.forEach((query, row) => {
        const from = keys.findIndex(key => key > query)
        if (from >= 0) path.rect(from * cell, row * cell, (keys.length - from) * cell, cell)
    })
    pen.fillStyle = css(ui.inks.page)
    pen.fill(path)
    pen.fillStyle = pen.createPattern(tile, "repeat")
    pen.fill(path)
}

function figures(ui, pen, cell, matrix) { // the weights in large cells
    const { queries, keys, part, gap } = ui.now
    if (cell < 30) return
    pen.font = `${cell < 36 ? 10.5 : 11.5}px ${ui.inks.font}`
    pen.textAlign = "center"
    pen.textBaseline = "middle"
    matrix.forEach((weight, at) => {
        const [row, column] = [Math.floor(at / keys.length), at % keys.length]
        if (Math.abs(weight) < 0.005 || (part.causal && keys[column] > queries[row])) return
        const light = luminance(shadeOf(ui, weight)) > 140
        pen.fillStyle = light ? "#17212E" : "#FFFFFF"
        pen.fillText((gap && weight > 0 ? "+" : "") + number(weight, 2).replace("0.", "."), (column + 0.5) * cell, (row + 0.5) * cell + 0.5)
    })
}

function labels(ui, { cell, slanted, left, top, wide, tall, spill, queries, keys, across, down }, row, column, held) {
    const { queryNames, keyNames } = ui.now
    const size = Math.min(12, cell - 1)
    const pen = sizeCanvas(across, wide + spill, top)
    const write = (pen, text, strong, most) => {
        pen.font = `${strong ? 650 : 400} ${size}px ${ui.inks.font}`
        pen.fillStyle = css(ui.inks.text, strong ? 1 : 0.78)
        let cut = text
        while (cut.length > 2 && pen.measureText(cut).width > most) cut = `${cut.slice(0, -2)}…`
        pen.fillText(cut, 0, 0)
    }
    pen.textBaseline = "middle"
    keys.forEach((key, at) => {
        pen.save()
        pen.translate((at + (slanted ? 0.42 : 0.5)) * cell, top - 5)
        pen.rotate(slanted ? -Math.PI / 4 : -Math.PI / 2)
        write(pen, keyNames[key], at === column, 112)
        pen.restore()
    })
    const other = sizeCanvas(down, left, tall)
    other.textBaseline = "middle"
    other.textAlign = "right"
    queries.forEach((query, at) => {
        other.save()
        other.translate(left - 8, (at + 0.5) * cell + 0.5)
        write(other, queryNames[query], at === row || at === held, left - 12)
        other.restore()
    })
    if (held >= 0) {
        other.fillStyle = ui.inks.primary
        other.fillRect(left - 3, held * cell, 3, cell)
    }
}
