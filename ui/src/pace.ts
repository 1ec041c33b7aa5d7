/** The time must have moved on by this much before anything is said about the rest. */
const MEASURED_MS_MIN = 3_000;

/** How fast something goes, from what was seen of it. */
export class Pace {
  private first: { done: number; at: number } | null = null;

  /** Seconds that are left; nothing before it is known. */
  left(done: number, total: number, now: number): number | null {
    if (this.first === null || done < this.first.done) this.first = { done, at: now };
    const { first } = this;
    const passed = now - first.at;
    if (passed < MEASURED_MS_MIN || done <= first.done) return null;
    return ((total - done) * passed) / (done - first.done) / 1000;
  }
}
