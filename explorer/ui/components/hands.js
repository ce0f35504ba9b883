// Small hands that all components share; this stands before each of their scripts.

function element(kind, name = "", text = "") {
    const made = document.createElement(kind)
    if (name) made.className = name
    if (text !== "") made.textContent = text
    return made
}

function sheet(width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height })
    return canvas.getContext("2d", { willReadFrequently: true })
}

const dot = sheet(1, 1)
function rgb(colour) { // any colour of CSS as three numbers
    dot.fillStyle = colour
    dot.fillRect(0, 0, 1, 1)
    return [...dot.getImageData(0, 0, 1, 1).data].slice(0, 3)
}

function luminance([red, green, blue]) {
    return 0.3 * red + 0.59 * green + 0.11 * blue
}

function blend(colours, share) { // evenly spaced colours, at a share of the way
    const at = Math.max(0, Math.min(1, share)) * (colours.length - 1)
    const [from, to] = [colours[Math.floor(at)], colours[Math.ceil(at)]]
    return from.map((value, channel) => value + (to[channel] - value) * (at % 1))
}

function decodeBytes(text) {
    return Uint8Array.from(atob(text), letter => letter.charCodeAt(0))
}

function decodeFloats(text) {
    return new Float32Array(decodeBytes(text).buffer)
}
