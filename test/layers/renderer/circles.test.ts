import * as RendererCircles from "../../../layers/renderer/circles.ts"
import { rendererContract } from "../../stages/Renderer.contract.ts"

rendererContract("circles", RendererCircles.layer())
rendererContract("circles, slow", RendererCircles.layer({ delay: 1 }))
