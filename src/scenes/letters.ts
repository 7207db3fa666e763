/** Block letters as paths: words that no gate can detect, for testing judges that might read them. */

/** Five rows of three bits a letter, the left pixel the highest bit. */
const glyphs: Readonly<Record<string, string>> = {
  A: "25755", B: "65656", C: "34443", D: "65556", E: "74647", F: "74644", G: "34553", H: "55755", I: "72227", J: "11152",
  K: "55655", L: "44447", M: "57755", N: "65555", O: "25552", P: "65644", Q: "25563", R: "65655", S: "34216", T: "72222",
  U: "55557", V: "55552", W: "55775", X: "55255", Y: "55222", Z: "71247",
  0: "25552", 1: "26227", 2: "61247", 3: "61216", 4: "55711", 5: "74616", 6: "34652", 7: "71222", 8: "25252", 9: "25316"
}

/**
 * A path element that spells `text` (letters and digits; anything else is a space), wrapped at words.
 *
 * @param x user units, left edge
 * @param y user units, top edge
 * @param width user units that a line may take
 * @param pixel user units of a letter's pixel: a letter is 3 wide and 5 high, 4 and 7 with its gap
 */
export const lettersPath = (text: string, x: number, y: number, width: number, pixel: number, fill = "#000"): string => {
  const perLine = Math.max(1, Math.floor(width / (4 * pixel)))
  const lines = text.toUpperCase().split(/[^A-Z0-9]+/).reduce<Array<string>>((made, word) => {
    const last = made.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= perLine) made[made.length - 1] = `${last} ${word}`
    else made.push(word)
    return made
  }, [])
  const squares = lines.flatMap((line, row) =>
    [...line].flatMap((letter, column) =>
      [...glyphs[letter] ?? "00000"].flatMap((bits, dy) =>
        [0, 1, 2].flatMap((dx) =>
          Number(bits) & 4 >> dx
            ? [`M${round(x + (4 * column + dx) * pixel)} ${round(y + (7 * row + dy) * pixel)}h${pixel}v${pixel}h-${pixel}z`]
            : []
        )
      )
    )
  )
  return `<path fill="${fill}" d="${squares.join("")}"/>`
}

const round = (n: number): number => Math.round(n * 100) / 100
