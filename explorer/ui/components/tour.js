// The button that leads from the tour to the control it speaks of, and the voice that reads a new step aloud.

const REACHED = "[role=slider], input:not([type=file]), button, textarea, [tabindex='0'], a"

export default function tour({ data, parentElement }) {
    const root = parentElement.querySelector(".tour") ?? parentElement.appendChild(mount())
    const [button, told] = root.children
    button.onclick = () => lead(data.at)
    if (told.textContent !== data.says) told.textContent = data.says
}

function mount() {
    const root = element("div", "tour")
    const button = element("button", "", "Show me")
    const told = element("div", "unseen")
    button.type = "button"
    button.title = "Goes to the outlined control"
    told.setAttribute("aria-live", "polite")
    root.append(button, told)
    return root
}

function lead(name) { // to the control: into sight, and the keyboard with it
    const place = document.querySelector(`.${name}`)
    if (!place) return
    place.closest("details:not([open])")?.querySelector("summary").click()
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches
    place.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" })
    const within = [...place.querySelectorAll("*")].flatMap(one => [...(one.shadowRoot?.querySelectorAll(REACHED) ?? [])])
    for (const one of [...place.querySelectorAll(REACHED), ...within]) {
        one.focus({ preventScroll: true })
        if (place.contains(document.activeElement)) return // some take no focus, as what is hidden
    }
}
