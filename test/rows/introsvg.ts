/** Rows in the shapes that IntroSVG publishes (gitcat-404/IntroSVG, train_data_example), with words of our own. */

export const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200"><circle cx="100" cy="90" r="40" fill="#d33"/></svg>`
const goal = "Please generate an SVG icon that meets the following description: a red sun over a field"

const chat = (user: string, assistant: string, images: ReadonlyArray<string> = []) => ({
  messages: [{ role: "user", content: user }, { role: "assistant", content: assistant }],
  images
})

export const direct = chat(goal, drawing)
export const correction = chat(
  `${goal}\nThis is your draft:\n\`\`\`xml\n${drawing}\n\`\`\`\nCritique: The field is missing.\nSuggestions: Add a green rectangle below.`,
  drawing.replace("</svg>", "<rect y=\"140\" width=\"200\" height=\"60\" fill=\"green\"/></svg>")
)
export const critique = chat(
  `<image>\n${goal}\nSay what is wrong with the picture.`,
  "{\"score\": 4.5, \"critique\": \"The field is missing.\", \"suggestions\": \"Add a green rectangle below.\"}",
  ["draft_image/7.png"]
)
export const preferences = {
  conversations: [{ from: "human", value: goal }],
  chosen: { from: "gpt", value: drawing },
  rejected: { from: "gpt", value: "<svg/>" }
}
