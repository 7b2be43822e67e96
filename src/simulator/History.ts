/** The newest messages of a stream, kept to be sent again. */
export interface FrameHistory {
  /** Adds a message, copying the first `length` bytes. */
  readonly push: (bytes: Buffer, length: number) => void
  /** Visits the newest `count` messages (or as many as there are), oldest first. */
  readonly forNewest: (count: number, visit: (bytes: Buffer, length: number) => void) => void
}

export const makeFrameHistory = (capacity: number): FrameHistory => {
  const slots: Array<{ bytes: Buffer; length: number }> = []
  let pushed = 0
  return {
    push: (bytes, length) => {
      if (capacity === 0) return
      const index = pushed++ % capacity
      const slot = slots[index] ?? { bytes: Buffer.alloc(0), length: 0 }
      slots[index] = slot
      if (slot.bytes.length < length) slot.bytes = Buffer.allocUnsafeSlow(length + 64)
      slot.length = bytes.copy(slot.bytes, 0, 0, length)
    },
    forNewest: (count, visit) => {
      for (let i = Math.max(0, pushed - Math.min(count, capacity)); i < pushed; i++) {
        const slot = slots[i % capacity]
        if (slot !== undefined) visit(slot.bytes, slot.length)
      }
    }
  }
}
