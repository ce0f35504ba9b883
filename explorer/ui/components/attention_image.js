// ---- image: where a patch, or the class token, looks in the picture ----

VIEWS.image = {
    title: "Picture",
    about: "The attention of a patch, painted over the picture",

    make(ui) {
        const node = element("div", "image-view")
        node.innerHTML = `<div class="large"><div class="tokens" role="group" aria-label="Tokens that are no patch"></div>
            <canvas data-steer tabindex="0" role="img"></canvas><div class="reading"></div></div><div class="small"><h5></h5><div class="multiples"></div></div>`
        const canvas = node.querySelector("canvas")
        const under = event => {
            const box = canvas.getBoundingClientRect()
            const { rows, columns, before } = patchesOf(ui)
            const at = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)))
            return before + at((event.clientY - box.top) / box.height, rows) * columns + at((event.clientX - box.left) / box.width, columns)
        }
        canvas.addEventListener("pointermove", event => point(ui, { token: under(event), key: null }))
        canvas.addEventListener("pointerleave", () => point(ui, null))
        canvas.addEventListener("blur", () => point(ui, null))
        canvas.addEventListener("click", event => hold(ui, "token", under(event)))
        return node
    },

    draw(ui, node) {
        const patches = patchesOf(ui)
        const { part, heads, layer } = ui.now
        if (!ui.picture || ui.picture.of !== patches.picture) {
            const picture = (ui.picture = Object.assign(new Image(), { of: patches.picture, ready: false }))
            picture.onload = () => { picture.ready = true; redraw(ui) }
            picture.src = `data:image/png;base64,${patches.picture}`
        }
        if (!ui.picture.ready) return
        const [tokens, canvas] = node.firstElementChild.children
        if (tokens.children.length !== patches.before) {
            tokens.replaceChildren(...Array.from({ length: patches.before }, (_, i) => {
                const chip = element("button", "chip", ui.now.queryNames[i])
                chip.type = "button"
                chip.addEventListener("pointerenter", () => point(ui, { token: i, key: null }))
                chip.addEventListener("pointerleave", () => point(ui, null))
                chip.addEventListener("click", () => hold(ui, "token", i))
                return chip
            }))
        }
        const wide = Math.min(460, node.clientWidth - 2)
        node.view = { canvas, tokens, wide, tall: (wide * patches.height) / patches.width, grey: greyed(ui, patches) }
        canvas.ariaLabel = `Picture of ${patches.rows} × ${patches.columns} patches: arrow keys move, Enter holds`
        const [title, row] = node.children[1].children
        title.textContent = `Heads of layer ${layer + FIRST}, with how far each looks on average, in patches`
        row.replaceChildren(...Array.from({ length: part.heads }, (_, head) => {
            const one = element("button", "multiple")
            one.type = "button"
            one.append(element("canvas"), element("b", "", `Head ${head + FIRST}`), element("span", "muted", `${number(meanDistance(ui, head), 1)} patches`))
            const role = ui.data.roles[part.name]?.[layer]?.[head]
            if (role) one.append(element("span", "role", role))
            one.ariaPressed = heads.includes(head)
            one.style.setProperty("--colour", css(ui.inks.heads[head]))
            one.addEventListener("click", event => {
                const toggled = heads.includes(head) ? heads.filter(other => other !== head) : [...heads, head]
                select(ui, { heads: event.shiftKey && toggled.length ? toggled : [head] })
            })
            return one
        }))
    },

    paint(ui, node, aim) {
        if (!ui.picture?.ready || !node.view) return
        const { canvas, tokens, wide, tall, grey } = node.view
        const patches = patchesOf(ui)
        const token = aim.token ?? 0
        const { heads, part, layer } = ui.now
        const rows = Array.from({ length: part.heads }, (_, head) => attentionOf(ui, token, head))
        const shown = rows[0].map((_, at) => heads.reduce((sum, head) => sum + rows[head][at], 0) / heads.length)
        const limit = Math.max(...shown.slice(patches.before))
        const pen = sizeCanvas(canvas, wide, tall)
        pen.imageSmoothingEnabled = wide < 3 * patches.width
        pen.drawImage(grey, 0, 0, wide, tall)
        overlay(ui, pen, shown, limit, wide, tall, patches)
        lattice(ui, pen, wide, tall, patches)
        outline(ui, pen, token, wide, tall, patches, ui.kept.selection.token === token)
        ;[...tokens.children].forEach((chip, i) => { chip.ariaPressed = token === i })
        node.querySelectorAll(".multiple canvas").forEach((small, head) => {
            const side = 92
            const pen = sizeCanvas(small, side, (side * patches.height) / patches.width)
            pen.drawImage(grey, 0, 0, side, (side * patches.height) / patches.width)
            overlay(ui, pen, rows[head], Math.max(...rows[head].slice(patches.before)), side, (side * patches.height) / patches.width, patches)
        })
        reading(ui, node.querySelector(".reading"), shown, limit, token, patches)
    },

    step(ui, dx, dy) {
        const { before, rows, columns } = patchesOf(ui)
        const aim = aimOf(ui).token
        const at = aim === null || aim < before ? null : aim - before
        const move = (value, by, count) => Math.max(0, Math.min(count - 1, value + by))
        const next = at === null ? before : before + move(Math.floor(at / columns), dy, rows) * columns + move(at % columns, dx, columns)
        point(ui, { token: next, key: null })
        tell(ui, placeName(ui, next))
    },
}

function patchesOf(ui) {
    return ui.data.patches[ui.now.side === "b" ? 1 : 0]
}

function attentionOf(ui, token, head) { // (K,): raw weights, whatever is hidden elsewhere
    const weight = reader(ui.now.part, ui.now.layer, head)
    return Array.from(ui.now.part.keys, (_, key) => weight(token, key))
}

// Mean over all patches of the distance to what they look at (Dosovitskiy et al. 2021, figure 7), in patches.
function meanDistance(ui, head) {
    const { before, rows, columns } = patchesOf(ui)
    const weight = reader(ui.now.part, ui.now.layer, head)
    const count = rows * columns
    let mean = 0
    for (let query = 0; query < count; query++) {
        let [sum, far] = [0, 0]
        for (let key = 0; key < count; key++) {
            const share = weight(before + query, before + key)
            sum += share
            far += share * Math.hypot(Math.floor(query / columns) - Math.floor(key / columns), (query % columns) - (key % columns))
        }
        mean += sum > 0 ? far / sum / count : 0
    }
    return mean
}

function greyed(ui, { width, height }) { // a picture with colours of its own would be mistaken for attention
    const small = Object.assign(document.createElement("canvas"), { width, height })
    const pen = small.getContext("2d")
    pen.drawImage(ui.picture, 0, 0)
    const image = pen.getImageData(0, 0, width, height)
    for (let at = 0; at < image.data.length; at += 4) {
        const light = luminance(image.data.subarray(at, at + 3))
        for (let channel = 0; channel < 3; channel++) {
            const grey = image.data[at + channel] * 0.1 + light * 0.9
            image.data[at + channel] = grey + (ui.inks.page[channel] - grey) * 0.4
        }
    }
    pen.putImageData(image, 0, 0)
    return small
}

function overlay(ui, pen, weights, limit, wide, tall, { before, rows, columns }) {
    const [across, down] = [wide / columns, tall / rows]
    const { shades } = ui.inks
    for (let at = 0; at < rows * columns; at++) {
        const share = Math.min(1, weights[before + at] / (limit || 1))
        pen.fillStyle = css(shades[Math.round(70 + 185 * share)], 0.9 * share ** 0.7)
        pen.fillRect((at % columns) * across, Math.floor(at / columns) * down, across, down)
    }
}

function lattice(ui, pen, wide, tall, { rows, columns }) {
    pen.strokeStyle = css(ui.inks.text, 0.16)
    pen.lineWidth = 1
    pen.beginPath()
    for (let column = 1; column < columns; column++) { pen.moveTo((column * wide) / columns, 0); pen.lineTo((column * wide) / columns, tall) }
    for (let row = 1; row < rows; row++) { pen.moveTo(0, (row * tall) / rows); pen.lineTo(wide, (row * tall) / rows) }
    pen.stroke()
}

function outline(ui, pen, token, wide, tall, { before, rows, columns }, held) {
    if (token < before) return
    const [across, down, at] = [wide / columns, tall / rows, token - before]
    const rect = [(at % columns) * across, Math.floor(at / columns) * down, across, down]
    pen.lineWidth = 5
    pen.strokeStyle = css(ui.inks.page)
    pen.strokeRect(...rect)
    pen.lineWidth = held ? 3 : 2
    pen.strokeStyle = css(rgb(ui.data.palettes[ui.inks.dark ? "dark" : "light"].heads[1]))
    pen.strokeRect(...rect)
}

function placeName(ui, token) {
    const { before, columns } = patchesOf(ui)
    const at = token - before
    return at < 0 ? ui.now.queryNames[token] : `patch in row ${Math.floor(at / columns) + 1}, column ${(at % columns) + 1}`
}

function reading(ui, line, weights, limit, token, { before }) {
    const most = weights.indexOf(limit, before)
    const rest = weights.slice(0, before).reduce((a, b) => a + b, 0)
    const ramp = Array.from({ length: 9 }, (_, i) => css(ui.inks.shades[Math.round(70 + (185 * i) / 8)]))
    const scale = element("span", "scale")
    scale.innerHTML = "<span>0</span><i></i><span></span><em>attention, its own scale</em>"
    scale.children[1].style.background = `linear-gradient(to right, ${ramp})`
    scale.children[2].textContent = weightText(ui, limit)
    const name = placeName(ui, token)
    const text = element("p", "", "")
    text.append(element("b", "", name[0].toUpperCase() + name.slice(1)), ` looks most at the ${placeName(ui, most)}: ${weightText(ui, limit)}`,
        before ? `; at ${before === 1 ? "the class token" : `the ${before} tokens before the patches`}: ${weightText(ui, rest)}` : "")
    line.replaceChildren(scale, text)
}
