// One entry in the browser's history for each page that was left, with the choices it was left with.
//
// Streamlit 1.67 adds an entry whenever Python writes to the link, and clears the link of a page that is left before it
// adds the next page's: the back button then seems to do nothing, once or several times. It also adds an entry when a
// run of the page that was left begins only after somebody went back, and with it drops all that lay ahead; and a control
// that was moved just before is sent after the page that was gone back to is asked for, so that the page that was left
// is drawn under the other's address.

const MARK = "explorerLeft" // on the window: the address at the last press of anything, which is what was left
const LATE = 300 // milliseconds after which what was moved has been sent (sliders wait for 200)

export default function history() {
    if (MARK in window) return
    window[MARK] = location.href
    const push = window.history.pushState.bind(window.history)
    const replace = window.history.replaceState.bind(window.history)
    let moved = false // through the history, and nothing was pressed since: no page was asked for
    let used = -LATE // when anything of the page was last pressed or let go, or stood in the link anew
    let again // the timer after which the page that was gone back to is asked for once more

    const keep = { capture: true, passive: true }
    for (const press of ["pointerdown", "keydown", "click"]) { // a screen reader may send the last alone
        window.addEventListener(press, () => { window[MARK] = location.href; moved = false; clearTimeout(again) }, keep)
    }
    for (const use of ["pointerdown", "pointerup", "keydown"]) {
        window.addEventListener(use, (event) => { if (!event.altKey && !event.metaKey) used = event.timeStamp }, keep)
    }
    window.addEventListener("popstate", (event) => {
        if (!event.isTrusted) return
        moved = true
        clearTimeout(again)
        if (event.timeStamp - used > LATE) return
        const there = location.href
        again = setTimeout(() => {
            replace(window.history.state, "", there)
            window.dispatchEvent(new PopStateEvent("popstate", { state: window.history.state }))
        }, LATE)
    }, keep)

    window.history.replaceState = (state, title, url) => {
        used = performance.now()
        return replace(state, title, url)
    }
    window.history.pushState = (state, title, url) => {
        const there = new URL(url ?? location.href, location.href)
        if (there.pathname === location.pathname) return replace(state, title, url)
        if (moved) return
        const left = new URL(window[MARK])
        if (left.pathname === location.pathname) replace(window.history.state, "", left)
        window[MARK] = there.href
        return push(state, title, url)
    }
}
