// ---- arithmetic: one query and one head, from q · k down to the output, computed again here from q, k and v ----

const DEPTHS = [
    ["1", "Weights", "What the head gives each key"],
    ["2", "Scores → softmax", "The score of each key, and how scores become weights"],
    ["3", "q · k", "The products of each dimension that make a score"],
    ["4", "Values → output", "The values, weighted and summed: what the head passes on"],
]

VIEWS.arithmetic = {
    title: "Arithmetic",
    about: "From q · k to the weight of each key and the output, with the numbers",

    make(ui) {
        const node = element("div", "arithmetic")
        node.innerHTML = `<div class="asked"></div><div class="worked" ></div><div class="dissected"></div><div class="box" data-steer tabindex="0" role="group" aria-label="Sums of one query: arrow keys move, Enter holds a key, Escape lets go"></div><p class="muted after"></p>`
        const box = node.children[3]
        const under = event => event.target.closest?.("tr[data-key]")
        box.addEventListener("pointermove", event => {
            const row = under(event)
            const cell = event.target.closest?.("canvas[data-of]")
            node.cell = cell && { cell, share: (event.clientX - cell.getBoundingClientRect().left) / cell.getBoundingClientRect().width }
            point(ui, row ? { token: null, key: Number(row.dataset.key) } : null)
            stripTip(ui, node)
        })
        box.addEventListener("pointerleave", () => { node.cell = null; ui.tip.hidden = true; point(ui, null) })
        box.addEventListener("click", event => { const row = under(event); if (row) hold(ui, "key", Number(row.dataset.key)) })
        box.addEventListener("blur", () => point(ui, null))
        return node
    },

    draw(ui, node) {
        const [asked, worked, dissected, box, after] = node.children
        const { part, layer, queryNames } = ui.now
        const { options, selection } = ui.kept
        node.sum = null
        if (!part.detail) {
            asked.replaceChildren(element("p", "refusal", "This network does not tell its queries, keys and values for this part, or they were not asked for. "
                + "Open a network of the explorer, BERT, GPT-2, T5, a ViT or a Llama in eager attention with its details, and the sums are shown here."))
            for (const other of [worked, dissected, box, after]) other.hidden = true
            return
        }
        for (const other of [worked, dissected, box, after]) other.hidden = false
        const query = selection.token ?? part.queries.length - 1
        const sum = (node.sum = compute(part, layer, selection.heads[0], query))
        const depth = segments("depth", "How deep", DEPTHS.map(([value, text, about]) => [value, [text, about]]), value => option(ui, { depth: Number(value) }))
        depth.settle(String(options.depth))
        const choose = element("label", "choose", "")
        const list = element("select")
        list.append(...queryNames.map((name, i) => new Option(`${i + 1}  ${name}`, i)))
        list.value = query
        list.ariaLabel = "Query"
        list.addEventListener("change", () => select(ui, { token: Number(list.value) }))
        choose.append(element("span", "", "Query"), list)
        asked.replaceChildren(choose, depth)
        const scrolled = box.scrollTop
        box.replaceChildren(table(ui, sum, options.depth))
        box.scrollTop = scrolled
        after.textContent = afterword(ui, sum)
        node.query = query
    },

    paint(ui, node, aim) {
        const { sum } = node
        if (!sum) return
        const { key: pinned } = ui.kept.selection
        const best = sum.weights.reduce((best, weight, at) => (weight > sum.weights[best] ? at : best), 0)
        const key = aim.key ?? pinned ?? best
        for (const row of node.querySelectorAll("tr[data-key]")) {
            row.classList.toggle("on", Number(row.dataset.key) === key)
            row.classList.toggle("held", Number(row.dataset.key) === pinned)
        }
        if (node.lined === sum && node.lineOf === key) return
        Object.assign(node, { lined: sum, lineOf: key })
        workedLine(ui, node.children[1], sum, node.query, key)
        dissect(ui, node.children[2], sum, node.query, key)
    },

    step(ui, dx, dy) {
        const node = ui.nodes.arithmetic
        const { sum } = node
        if (!sum) return
        if (dx) return select(ui, { token: Math.max(0, Math.min(ui.now.part.queries.length - 1, node.query + dx)) })
        const at = aimOf(ui).key ?? ui.kept.selection.key ?? -1
        const key = Math.max(0, Math.min(sum.weights.length - 1, at + dy))
        point(ui, { token: null, key })
        node.querySelector(`tr[data-key="${key}"]`)?.scrollIntoView({ block: "nearest" })
        tell(ui, `${ui.now.keyNames[key]}: weight ${number(sum.weights[key], 3)}`)
    },
}

// Vaswani et al. 2017, equation 1, for one query: everything that happens on the way.
function compute(part, layer, head, query) {
    const { detail } = part
    const [K, Q, d, dv] = [part.keys.length, part.queries.length, detail.size, detail.values]
    const number = detail.only ? 0 : layer * part.heads + head
    const q = detail.query.subarray((number * Q + query) * d, (number * Q + query + 1) * d)
    const scaling = detail.scaling[layer]
    const sum = { d, scaling, q, keys: [], dots: [], scaled: [], bias: [], masked: [], scores: [], exps: [], weights: [], values: [], norms: [], output: new Float64Array(dv) }
    const bit = at => detail.masked && (detail.masked[at >> 3] >> (7 - (at & 7))) & 1
    for (let key = 0; key < K; key++) {
        const k = detail.key.subarray((number * K + key) * d, (number * K + key + 1) * d)
        let dot = 0
        for (let i = 0; i < d; i++) dot += q[i] * k[i]
        const bias = detail.bias ? detail.bias[(number * Q + query) * K + key] : 0
        const masked = !!bit(((detail.alike ? 0 : number) * Q + query) * K + key)
        sum.keys.push(k)
        sum.dots.push(dot)
        sum.scaled.push(dot * scaling)
        sum.bias.push(bias)
        sum.masked.push(masked)
        sum.scores.push(masked ? -Infinity : dot * scaling + bias)
        sum.values.push(detail.value.subarray((number * K + key) * dv, (number * K + key + 1) * dv))
        sum.norms.push(detail.norms[number * K + key])
    }
    const most = Math.max(...sum.scores)
    sum.shift = Math.abs(most) > 15 ? most : 0 // e to the power of large scores has too many digits to read
    sum.exps = sum.scores.map(score => Math.exp(score - sum.shift))
    sum.total = sum.exps.reduce((a, b) => a + b, 0)
    sum.weights = sum.exps.map(exp => exp / sum.total)
    sum.weights.forEach((weight, key) => sum.values[key].forEach((value, i) => { sum.output[i] += weight * value }))
    sum.biased = !!detail.bias
    const known = reader(part, layer, head)
    sum.error = known ? Math.max(...sum.weights.map((weight, key) => {
        const sent = known(query, key)
        return Number.isNaN(sent) ? 0 : Math.abs(weight - sent) - (2 * Math.sqrt(sent)) / part.most
    })) : 0
    return sum
}

function root({ d, scaling }) { // how the scaling is said
    if (Math.abs(scaling - 1) < 1e-6) return "not scaled"
    return Math.abs(scaling * Math.sqrt(d) - 1) < 1e-5 ? `÷ √${d}` : `× ${digits(scaling)}`
}

function table(ui, sum, depth) {
    const { keyNames } = ui.now
    const made = element("table")
    const scaled = root(sum) !== "not scaled"
    const heads = [["Key", "name"]]
    if (depth >= 3) heads.push([`q × k, ${sum.d} dimensions`, "strip"])
    if (depth >= 2) {
        heads.push(["q · k", ""])
        if (scaled) heads.push([root(sum), ""])
        if (sum.biased) heads.push(["+ bias", ""])
        heads.push([sum.shift ? `e^(s − ${number(sum.shift, 1)})` : "e^score", "exp"])
    }
    heads.push([depth >= 2 ? `÷ ${figure(sum.total)} = weight` : "Weight", "weight"])
    if (depth >= 4) heads.push([`weight × value, ${sum.output.length} dimensions`, "strip"], ["‖value‖", "norm"])
    const top = element("tr")
    for (const [text, name] of heads) {
        const cell = element("th", name, text)
        if (name === "norm") cell.title = "Length of the value after the head's share of the output projection (Kobayashi et al. 2020)"
        top.append(cell)
    }
    const header = element("thead")
    header.append(top)
    const body = element("tbody")
    const products = sum.keys.map(k => sum.q.map((value, i) => value * k[i]))
    const limit = Math.max(...products.map((row, key) => (sum.masked[key] ? 0 : Math.max(...row.map(Math.abs)))), 1e-9)
    const weighted = sum.values.map((value, key) => value.map(one => one * sum.weights[key]))
    const limits = Math.max(...weighted.map(row => Math.max(...row.map(Math.abs))), ...sum.output.map(Math.abs), 1e-9)
    const most = Math.max(...sum.weights)
    if (depth >= 3) body.append(vectorRow(ui, "q, this query", sum.q, heads, "strip", 0, "q"))
    const colour = css(ui.inks.heads[ui.now.heads[0]])
    sum.weights.forEach((weight, key) => {
        const row = element("tr", sum.masked[key] ? "masked" : "")
        row.dataset.key = key
        const name = element("td", "name")
        name.append(element("i", "", key + 1), element("span", "", keyNames[key]))
        name.title = keyNames[key]
        row.append(name)
        const cell = (text, kind = "number") => row.append(element("td", kind, text))
        if (depth >= 3) row.append(strip(ui, products[key], limit, "product", sum.masked[key]))
        if (depth >= 2) {
            cell(number(sum.dots[key], 2))
            if (scaled) cell(number(sum.scaled[key], 2))
            if (sum.biased) cell(number(sum.bias[key], 2))
            cell(sum.masked[key] ? "−∞ → 0" : figure(sum.exps[key]))
        }
        row.append(weightCell(weight / most, colour, sum.masked[key] ? "masked" : number(weight, 3)))
        if (depth >= 4) {
            row.append(strip(ui, weighted[key], limits, "weighted", sum.masked[key]))
            cell(number(sum.norms[key], 2))
        }
        body.append(row)
    })
    const foot = element("tfoot")
    const end = element("tr")
    for (const [text, name] of heads) {
        const at = end.childElementCount
        end.append(name === "name" ? element("td", "name", depth >= 4 ? "Sum: the output" : "Sum")
            : name === "exp" ? element("td", "number", figure(sum.total))
            : name === "weight" ? weightCell(0, colour, number(sum.weights.reduce((a, b) => a + b, 0), 3))
            : name === "strip" && text.startsWith("weight") ? strip(ui, sum.output, limits, "output", false, true)
            : element("td", at ? "number" : ""))
    }
    foot.append(end)
    made.append(header, body, foot)
    return made
}

function weightCell(share, colour, text) {
    const cell = element("td", "weight")
    const inner = element("div")
    const bar = element("span", "bar")
    bar.append(element("i"))
    Object.assign(bar.firstChild.style, { width: `${100 * share}%`, background: colour })
    inner.append(bar, element("b", "", text))
    cell.append(inner)
    return cell
}

function figure(value) { // an exponential, short
    return value >= 1e5 || (value > 0 && value < 1e-3) ? digits(value, 3) : number(value, value < 0.1 ? 3 : 2)
}

function vectorRow(ui, name, values, heads, kind, index, of) {
    const row = element("tr", "vector")
    const limit = Math.max(...values.map(Math.abs), 1e-9)
    for (const [, column] of heads) row.append(column === kind && !row.querySelector("canvas") ? strip(ui, values, limit, of) : element("td", column, column === "name" ? name : ""))
    return row
}

// Signed values as coloured cells; tall: with bars.
function strip(ui, values, limit, of, masked = false, tall = false, room = 230) {
    const cell = element("td", "strip")
    const canvas = element("canvas")
    if (of) canvas.dataset.of = of
    canvas.values = values
    const across = Math.max(3, Math.min(18, Math.floor(room / values.length)))
    const [wide, high] = [across * values.length, tall ? 34 : 14]
    const pen = sizeCanvas(canvas, wide, high)
    values.forEach((value, i) => {
        pen.fillStyle = css(tintOf(ui, masked ? 0 : value, limit))
        const gap = across > 5 ? 1 : 0
        if (!tall) return pen.fillRect(i * across, 0, across - gap, high)
        const size = (Math.abs(value) / limit) * (high / 2)
        pen.fillStyle = css(ui.inks.tints[value > 0 ? 440 : 70])
        pen.fillRect(i * across, value > 0 ? high / 2 - size : high / 2, across - gap, size)
    })
    if (tall) {
        pen.fillStyle = css(ui.inks.text, 0.5)
        pen.fillRect(0, high / 2 - 0.5, wide, 1)
    } else {
        pen.strokeStyle = ui.inks.line
        pen.strokeRect(0.5, 0.5, wide - 1, high - 1)
    }
    cell.append(canvas)
    return cell
}

function stripTip(ui, node) { // one number of a strip
    if (!node.cell) { ui.tip.hidden = true; return }
    const { cell, share } = node.cell
    const { values } = cell
    const i = Math.max(0, Math.min(values.length - 1, Math.floor(share * values.length)))
    const row = cell.closest("tr")
    const { sum } = node
    const key = row.dataset.key === undefined ? null : Number(row.dataset.key)
    const told = {
        q: () => `q${sub(i + 1)} = ${number(values[i], 3)}`,
        product: () => `q${sub(i + 1)} × k${sub(i + 1)} = ${number(sum.q[i], 3)} × ${number(sum.keys[key][i], 3)} = ${number(values[i], 3)}`,
        weighted: () => `${number(sum.weights[key], 3)} × v${sub(i + 1)} = ${number(sum.weights[key], 3)} × ${number(sum.values[key][i], 3)} = ${number(values[i], 3)}`,
        output: () => `output${sub(i + 1)} = ${number(values[i], 3)}`,
    }[cell.dataset.of]()
    const box = cell.getBoundingClientRect()
    const wide = box.width / values.length
    showTip(ui, [element("b", "", told)], new DOMRect(box.left + i * wide, box.top, wide, box.height))
}

function sub(n) {
    return String(n).replace(/\d/g, digit => "₀₁₂₃₄₅₆₇₈₉"[digit])
}

function workedLine(ui, line, sum, query, key) {
    const { queryNames, keyNames } = ui.now
    const who = element("b", "", `${queryNames[query]} → ${keyNames[key]}`)
    const steps = [`q·k = ${number(sum.dots[key], 2)}`]
    if (root(sum) !== "not scaled") steps.push(`${root(sum)} = ${number(sum.scaled[key], 2)}`)
    if (sum.biased) steps.push(`+ bias ${number(sum.bias[key], 2)} = ${number(sum.scaled[key] + sum.bias[key], 2)}`)
    if (sum.masked[key]) steps.push("masked: −∞", "exp = 0", "weight 0")
    else {
        steps.push(`${sum.shift ? `exp of that − ${number(sum.shift, 2)}` : "exp"} = ${figure(sum.exps[key])}`)
        steps.push(`÷ ${figure(sum.total)} = ${number(sum.weights[key], 3)}`)
    }
    line.replaceChildren(who, ...steps.map(step => element("span", "", step)))
}

// The vectors of one link, dimension by dimension, in figures where they fit.
function dissect(ui, panel, sum, query, key) {
    const { depth } = ui.kept.options
    panel.hidden = depth < 3
    if (panel.hidden) return
    const { queryNames, keyNames } = ui.now
    const [k, v] = [sum.keys[key], sum.values[key]]
    const product = sum.q.map((value, i) => value * k[i])
    const weighted = v.map(value => value * sum.weights[key])
    const rows = [["q", queryNames[query], sum.q, ""], ["k", keyNames[key], k, ""], ["q × k", "", product, `Σ = ${number(sum.dots[key], 2)}`]]
    if (depth >= 4) rows.push(null, ["v", keyNames[key], v, ""], [`${number(sum.weights[key], 3)} × v`, "", weighted, ""], ["Output", "the sum over all keys", sum.output, ""])
    panel.replaceChildren(...rows.flatMap(row => {
        if (!row) return [element("span", "line")]
        const [name, of, values, end] = row
        const limit = Math.max(...values.map(Math.abs), 1e-9)
        return [element("span", "", of ? `${name}, ${of}` : name), values.length > 16 ? strip(ui, values, limit, "", false, false, 460).firstChild : numbers(ui, values, limit), element("span", "", end)]
    }))
}

function numbers(ui, values, limit) {
    const row = element("div", "numbers")
    row.style.setProperty("--size", values.length)
    row.append(...Array.from(values, value => {
        const cell = element("i", "", number(value, 2))
        const colour = tintOf(ui, value, limit)
        Object.assign(cell.style, { background: css(colour), color: luminance(colour) > 130 ? "#17212E" : "#FFFFFF" })
        return cell
    }))
    return row
}

function afterword(ui, sum) {
    const told = []
    if (sum.shift) told.push(`${number(sum.shift, 2)}, the largest score, is taken off all scores first: the weights stay the same and the figures short.`)
    if (sum.masked.some(Boolean)) told.push("Masked keys have the score −∞, so e^score is 0.")
    if (sum.error > 2e-3) told.push(`These sums miss the network's own weights by up to ${number(sum.error, 3)}: it does something more to its scores, such as a soft cap.`)
    told.push("Computed in this page from the q, k and v of the network.")
    return told.join(" ")
}
