// The transport bar of what is recorded once and scrubbed here: first, back, play, forward, last and a slider.
// Where it rests is reported to Python as state `rest`; playing and scrubbing are not. Film and plane follow below it.

const PACE = 8 // frames a second
const REST = 500 // milliseconds without a change, after which the place is reported
const ICONS = {
    first: "M18.4 16.6 13.8 12l4.6-4.6L17 6l-6 6 6 6zM6 6h2v12H6z",
    back: "M20 11H7.8l5.6-5.6L12 4l-8 8 8 8 1.4-1.4L7.8 13H20z",
    play: "M8 5v14l11-7z",
    pause: "M6 19h4V5H6zm8-14v14h4V5z",
    forward: "m12 4-1.4 1.4 5.6 5.6H4v2h12.2l-5.6 5.6L12 20l8-8z",
    last: "M5.6 7.4 10.2 12l-4.6 4.6L7 18l6-6-6-6zM16 6h2v12h-2z",
}

const mounted = new WeakMap() // the place on the page → what is drawn there
const remembered = new Map() // key → frame and choices, which outlive a remount

// ---- life on the page ----

// kind: { name, html, fill(view), decode(data), take(view, data, decoded), draw(view), spoken(view) }
async function show(kind, { data, parentElement, setStateValue }) {
    const view = mounted.get(parentElement) ?? mount(kind, parentElement)
    const turn = (view.turn = (view.turn ?? 0) + 1)
    view.report = at => setStateValue("rest", { at, of: data.frames })
    if (view.print !== data.print) {
        const decoded = await kind.decode(data)
        if (turn === view.turn) { // else newer data came meanwhile
            view.print = data.print
            if (!view.root.isConnected) view.place.append(view.root)
            remember(view, data)
            kind.take(view, data, decoded)
            kind.draw(view)
        }
    } else remember(view, data)
    return () => turn === view.turn && unmount(view) // an overtaken call must not clear what its successor draws
}

function mount(kind, place) {
    const root = element("div", `recorded ${kind.name}`)
    root.innerHTML = `
        <div class="bar" role="group" aria-label="Frames"></div>
        ${kind.html}
        <div class="unseen" aria-live="polite"></div>`
    const view = { kind, place, root, told: root.lastElementChild, frame: 0, palettes: null }
    view.bar = makeBar(root.firstElementChild, view)
    kind.fill(view)
    view.resized = new ResizeObserver(() => { if (root.clientWidth !== view.width) schedule(view) })
    view.resized.observe(root)
    // Streamlit renames the class of the element around us as the theme changes
    view.themed = new MutationObserver(() => { view.inks = null; schedule(view) })
    const around = place.host?.parentElement ?? place.parentElement
    if (around) view.themed.observe(around, { attributes: true })
    document.fonts?.ready.then(() => schedule(view)) // letters on a canvas do not change by themselves
    mounted.set(place, view)
    return view
}

function unmount(view) {
    view.turn++ // nothing that is still being decoded comes back
    view.resized.disconnect()
    view.themed.disconnect()
    cancelAnimationFrame(view.frame)
    cancelAnimationFrame(view.bar.clock)
    clearTimeout(view.bar.rest)
    view.root.remove() // the listeners are on what is inside, and go with it
    mounted.delete(view.place)
}

function remember(view, data) {
    const { bar } = view
    if (view.kept?.seed !== data.seed) {
        const before = remembered.get(data.key)
        view.kept = before?.seed === data.seed ? before : { seed: data.seed, at: data.at, of: data.frames }
        remembered.set(data.key, view.kept)
        bar.at = view.kept.at
    }
    if (view.kept.of !== data.frames) { // a longer or a shorter recording: Python knows where it goes on
        pause(bar)
        Object.assign(view.kept, { at: data.at, of: data.frames })
        bar.at = data.at
    }
    bar.frames = data.frames
    view.palettes = data.palettes
    settleBar(bar)
    if (view.kept.playing && !bar.playing) play(bar) // it was mounted anew while it played
    else if (!bar.playing && bar.at !== data.at) rest(bar) // Python has not heard of it
}

function schedule(view) { // at most once a frame
    view.frame ||= requestAnimationFrame(() => {
        view.frame = 0
        if (!view.print) return
        view.width = view.root.clientWidth
        view.kind.draw(view)
    })
}

// The place among `count` frames at the same share of the way, which may be between two of them.
function placeOf(view, count, at) {
    return view.bar.frames > 1 ? (at / (view.bar.frames - 1)) * (count - 1) : 0
}

// ---- the bar ----

function makeBar(node, view) {
    const bar = { node, view, at: 0, frames: 1, playing: false, clock: 0, rest: 0, buttons: {} }
    const group = element("div", "buttons")
    const button = (name, label, act) => {
        const made = Object.assign(element("button"), { type: "button", title: label })
        made.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`
        made.setAttribute("aria-label", label)
        made.addEventListener("click", act)
        bar.buttons[name] = made
        group.append(made)
    }
    button("first", "First", () => go(bar, 0))
    button("back", "Back", () => step(bar, -1))
    button("play", "Play", () => (bar.playing ? pause(bar) : play(bar)))
    button("forward", "Forward", () => step(bar, 1))
    button("last", "Last", () => go(bar, bar.frames - 1))
    bar.slider = Object.assign(element("input"), { type: "range", min: 0, step: 1 })
    bar.slider.setAttribute("aria-label", "Frame")
    bar.slider.addEventListener("input", () => go(bar, Number(bar.slider.value)))
    node.append(group, bar.slider)
    node.addEventListener("keydown", event => {
        const pressed = event.target.closest("button")
        if (event.key === " " && !pressed) bar.playing ? pause(bar) : play(bar)
        else if (event.key === "ArrowLeft" || event.key === "ArrowDown") step(bar, -1)
        else if (event.key === "ArrowRight" || event.key === "ArrowUp") step(bar, 1)
        else if (event.key === "Home") go(bar, 0)
        else if (event.key === "End") go(bar, bar.frames - 1)
        else return
        event.preventDefault()
    })
    return bar
}

function step(bar, by) {
    go(bar, Math.round(bar.at) + by)
}

function go(bar, at) {
    bar.at = Math.max(0, Math.min(bar.frames - 1, at))
    pause(bar)
}

function play(bar) { // to the end; from the end: from the beginning
    if (bar.frames === 1) return
    if (bar.at >= bar.frames - 1) bar.at = 0
    bar.playing = true
    clearTimeout(bar.rest)
    let before = null
    const tick = now => {
        bar.at = Math.min(bar.frames - 1, bar.at + ((now - (before ?? now)) / 1000) * PACE)
        before = now
        if (bar.at >= bar.frames - 1) return pause(bar)
        bar.clock = requestAnimationFrame(tick)
        moved(bar)
    }
    cancelAnimationFrame(bar.clock)
    bar.clock = requestAnimationFrame(tick)
    moved(bar)
}

function pause(bar) {
    bar.playing = false
    cancelAnimationFrame(bar.clock)
    bar.at = Math.round(bar.at)
    moved(bar)
    rest(bar)
}

function moved(bar) {
    const { view } = bar
    if (view.kept) Object.assign(view.kept, { at: Math.round(bar.at), playing: bar.playing })
    settleBar(bar)
    schedule(view)
}

function rest(bar) {
    clearTimeout(bar.rest)
    bar.rest = setTimeout(() => {
        bar.view.told.textContent = bar.slider.getAttribute("aria-valuetext")
        bar.view.report(bar.at)
    }, REST)
}

function settleBar(bar) {
    const at = Math.round(bar.at)
    const last = bar.frames - 1
    bar.node.hidden = last === 0
    bar.slider.max = last
    bar.slider.value = at
    bar.slider.style.setProperty("--share", last ? at / last : 0)
    bar.slider.setAttribute("aria-valuetext", bar.view.kind.spoken(bar.view, at) ?? "")
    const { first, back, play, forward } = bar.buttons
    for (const button of [first, back]) button.setAttribute("aria-disabled", at === 0)
    for (const button of [forward, bar.buttons.last]) button.setAttribute("aria-disabled", at === last)
    const name = bar.playing ? "pause" : "play"
    if (play.dataset.shows === name) return
    play.dataset.shows = name
    play.title = bar.playing ? "Pause" : "Play"
    play.setAttribute("aria-label", play.title)
    play.querySelector("path").setAttribute("d", ICONS[name])
}

// ---- colours ----

function inksOf(view) { // of the page as it is now
    if (view.inks) return view.inks
    const style = getComputedStyle(view.root)
    const css = name => style.getPropertyValue(name)
    const page = rgb(css("--st-background-color") || "white")
    const dark = luminance(page) < 128
    const { categorical, signed } = view.palettes[dark ? "dark" : "light"]
    const colours = [...signed.slice(0, 5).map(rgb), page, ...signed.slice(5).map(rgb)]
    view.inks = {
        dark, page, categorical,
        text: css("--st-text-color") || "black",
        line: css("--st-border-color") || "silver",
        font: `${0.75 * parseFloat(getComputedStyle(document.documentElement).fontSize)}px ${style.fontFamily}`,
        signed: Uint8ClampedArray.from( // (256, 4), between 127 and 128 the page's colour
            Array.from({ length: 256 }, (_, code) => [...blend(colours, code / 255), 255]).flat()),
    }
    return view.inks
}

// ---- small hands ----

function steady(node, text, widest) { // the node has the room that its widest text needs, so that nothing jumps
    node.classList.add("steady")
    if (!node.firstElementChild) node.replaceChildren(element("span"))
    node.firstElementChild.textContent = text
    node.dataset.widest = widest
}

function widest(texts) {
    return texts.reduce((most, text) => (text.length > most.length ? text : most), "")
}

function resize(canvas, width, height) { // in pixels of the page; gives a pen in the same
    const sharp = window.devicePixelRatio || 1
    const [wide, tall] = [Math.round(width * sharp), Math.round(height * sharp)]
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall })
    const pen = canvas.getContext("2d")
    pen.setTransform(sharp, 0, 0, sharp, 0, 0)
    return pen
}

function decimal(value, places) {
    const text = Math.abs(value).toFixed(places)
    return (value < 0 && Number(text) ? "−" : "") + text
}
