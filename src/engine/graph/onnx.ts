/** A graph as the bytes of an ONNX model (IR 10, opset 21, com.microsoft 1). */
import { create, toBinary } from "@bufbuild/protobuf"
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema
} from "onnx-buf"
import type { DType, Graph, Initializer, Node, Part, Value } from "./graph.ts"
import { ops } from "./ops.ts"
import { encodedInputs, reachable } from "./run-order.ts"

const dataTypes: Readonly<Record<DType, TensorProto_DataType>> = {
  float32: TensorProto_DataType.FLOAT,
  float16: TensorProto_DataType.FLOAT16,
  bfloat16: TensorProto_DataType.BFLOAT16,
  int64: TensorProto_DataType.INT64,
  int32: TensorProto_DataType.INT32,
  bool: TensorProto_DataType.BOOL,
  uint8: TensorProto_DataType.UINT8,
  int8: TensorProto_DataType.INT8
}

/** Attributes whose numbers are floats in the ONNX schema; all others are integers. */
const floatAttributes = new Set(["epsilon", "alpha", "beta", "scale"])

const attributesOf = (node: Node) =>
  Object.entries(node.attributes).filter(([name]) => !ops[node.op].notes?.includes(name)).map(([name, value]) =>
    create(AttributeProtoSchema, {
      name,
      ...(typeof value === "string"
        ? { type: AttributeProto_AttributeType.STRING, s: new TextEncoder().encode(value) }
        : typeof value !== "number"
        ? { type: AttributeProto_AttributeType.INTS, ints: value.map(BigInt) }
        : floatAttributes.has(name)
        ? { type: AttributeProto_AttributeType.FLOAT, f: value }
        : { type: AttributeProto_AttributeType.INT, i: BigInt(value) })
    })
  )

const nodeProto = (node: Node, used: ReadonlySet<Value>) =>
  create(NodeProtoSchema, {
    opType: ops[node.op].as?.[0] ?? node.op,
    domain: ops[node.op].domain ?? "",
    name: inPart(node.part, node.outputs[0]!.name),
    input: encodedInputs(node).map((x) => x?.name ?? ""),
    // The first output is required; a later one that nobody reads is left out, and so never computed.
    output: trimmed(node.outputs.map((y, i) => (i === 0 || used.has(y) ? y.name : ""))),
    attribute: attributesOf(node)
  })

const inPart = (part: Part | undefined, name: string): string => (part === undefined ? name : `${part}/${name}`)

const trimmed = (names: ReadonlyArray<string>): Array<string> =>
  names.slice(0, names.findLastIndex((name) => name !== "") + 1)

const infoProto = (value: Value, name = value.name) =>
  create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, {
          elemType: dataTypes[value.dtype],
          shape: create(TensorShapeProtoSchema, {
            dim: value.shape.map((dim) =>
              create(TensorShapeProto_DimensionSchema, {
                value: typeof dim === "number"
                  ? { case: "dimValue", value: BigInt(dim) }
                  : { case: "dimParam", value: dim }
              })
            )
          })
        })
      }
    })
  })

const tensorProto = ({ bytes, value }: Initializer, locationOf: (file: string) => string) =>
  create(TensorProtoSchema, {
    name: value.name,
    dataType: dataTypes[value.dtype],
    dims: value.shape.map(BigInt),
    ...(bytes._tag === "Inline" ? { rawData: bytes.data as Uint8Array<ArrayBuffer> } : {
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries({ location: locationOf(bytes.file), offset: bytes.offset, length: bytes.length }).map((
        [key, value]
      ) => create(StringStringEntryProtoSchema, { key, value: String(value) }))
    })
  })

/**
 * The model's bytes. Only what leads to an output is encoded, and inputs that nothing reads are left out, so a session
 * never computes or asks for them. Weights marked External stay in their files: give the session their folder.
 *
 * @param locationOf path of an External file from that folder
 */
export const encodeModel = (g: Graph, locationOf = (file: string): string => file): Uint8Array => {
  const { initializers, nodes, used } = reachable(g)
  const renamed = g.outputs.map(({ name, value }) =>
    create(NodeProtoSchema, { opType: "Identity", name: inPart(value.node?.part, `output_${name}`), input: [value.name], output: [name] })
  )
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 10n,
      producerName: "vequinox",
      opsetImport: [
        create(OperatorSetIdProtoSchema, { domain: "", version: 21n }),
        create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n })
      ],
      graph: create(GraphProtoSchema, {
        name: "vequinox",
        node: [...nodes.map((node) => nodeProto(node, used)), ...renamed],
        initializer: initializers.map((initializer) => tensorProto(initializer, locationOf)),
        // Without its shapes, whose unknown lengths have names, onnxruntime searches in vain for a buffer to reuse for
        // each value: 20 s instead of 1 s for the session that trains 28 layers.
        valueInfo: nodes.flatMap(({ outputs }) => outputs.filter((y) => used.has(y))).map((value) => infoProto(value)),
        input: g.inputs.filter((value) => used.has(value)).map((value) => infoProto(value)),
        output: g.outputs.map(({ name, value }) => infoProto(value, name))
      })
    })
  )
}

/** Names of the inputs that the encoded model will ask for. */
export const inputNames = (g: Graph): ReadonlyArray<string> => {
  const { used } = reachable(g)
  return g.inputs.filter((value) => used.has(value)).map(({ name }) => name)
}
