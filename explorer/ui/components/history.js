// One entry in the browser's history for each page that was left, with the choices it was left with.
//
// Streamlit 1.67 adds an entry whenever Python writes to the link, and clears the link of a page that is left before it
// adds the next page's: the back button then seems to do nothing, once or several times.

const MARK = "explorerLeft" // on the window: the address at the last press of anything, which is what was left

export default function history() {
    if (MARK in window) return
    window[MARK] = location.href
    for (const press of ["pointerdown", "keydown"]) {
        window.addEventListener(press, () => { window[MARK] = location.href }, { capture: true, passive: true })
    }
    const push = window.history.pushState.bind(window.history)
    window.history.pushState = (state, title, url) => {
        const there = new URL(url ?? location.href, location.href)
        if (there.pathname === location.pathname) return window.history.replaceState(state, title, url)
        const left = new URL(window[MARK])
        if (left.pathname === location.pathname) window.history.replaceState(window.history.state, "", left)
        window[MARK] = there.href
        return push(state, title, url)
    }
}
