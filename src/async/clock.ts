/** The longest a timer can wait, in `ms`: 24.8 days. Node fires one that is set for longer at once. */
export const maxTimerMs = 2 ** 31 - 1;

/**
 * Milliseconds as the wall clock would show them had nobody set it since this process began. What is measured by it lasts as long as it
 * should, whatever happens to the wall clock; times that people read are `Date.now()`.
 */
export function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}
