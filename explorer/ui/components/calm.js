// The icon beside "Stop" stands still, for React's sake.
//
// Streamlit 1.67 draws pages as transitions, which React puts off for anything else, and changes that icon every 200 ms
// while a page runs. A page that takes longer than that to draw is begun anew at each change: the browser is busy all
// the time, and what has come is seen only when the page has run.

const MARK = "explorerCalm"
const TICK = 200 // milliseconds
const NEXT = /\+\s*1\)\s*%/ // (now + 1) % icons

export default function calm() {
    if (MARK in window) return
    window[MARK] = true
    const begin = window.setInterval.bind(window)
    window.setInterval = (act, delay, ...rest) =>
        delay === TICK && NEXT.test(String(act)) ? 0 : begin(act, delay, ...rest)
}
