/** A plain text answer instead of JSON. */
export class PlainText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
