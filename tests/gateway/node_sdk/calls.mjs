// What programs do with OpenAI's client for Node, against the gateway that the environment names. Prints one JSON object.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = process.env.MODEL;
const messages = [{ role: "user", content: "안녕하세요" }];
const options = { apiKey: process.env.API_KEY, baseURL: process.env.BASE_URL, timeout: 20_000, maxRetries: 0 };
const client = new OpenAI(options);
const Reply = z.object({ answer: z.string() });
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "현재 날씨",
    parse: JSON.parse,
    function: ({ city }) => `맑음, 21도 (${city})`,
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  },
};

const order = (...faults) =>
  fetch(`${process.env.UPSTREAM}/sandbox/faults`, { method: "POST", body: JSON.stringify(faults) });
const collect = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};
const failure = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, message: error.message };
  }
};

const scenarios = {
  async plain() {
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    return {
      text: data.choices[0].message.content,
      request: response.headers.get("x-request-id"),
      own: data._request_id,
      receipt: response.headers.get("x-invoicedream-receipt"),
    };
  },
  async streamed() {
    const chunks = await collect(
      await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }),
    );
    return {
      text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
      usage: chunks.at(-1).usage.total_tokens,
    };
  },
  async helper() {
    const stream = client.chat.completions.stream({ model, messages });
    return { text: await stream.finalContent() };
  },
  async parsed() {
    const completion = await client.chat.completions.parse({
      model,
      messages,
      response_format: zodResponseFormat(Reply, "reply"),
    });
    return completion.choices[0].message.parsed;
  },
  async tools() {
    const question = [{ role: "user", content: "서울 날씨를 도구로 알려 주세요" }];
    const runner = client.chat.completions.runTools({ model, messages: question, tools: [weather] });
    const streamed = client.chat.completions.runTools({ model, messages: question, tools: [weather], stream: true });
    return { text: await runner.finalContent(), streamed: await streamed.finalContent() };
  },
  async responses() {
    const whole = await client.responses.create({ model, input: "안녕하세요" });
    const events = await collect(await client.responses.create({ model, input: "안녕하세요", stream: true }));
    const stream = client.responses.stream({ model, input: "안녕하세요" });
    const final = await stream.finalResponse();
    const parsed = await client.responses.parse({
      model,
      input: "안녕하세요",
      text: { format: zodTextFormat(Reply, "reply") },
    });
    return {
      text: whole.output_text,
      types: [events[0].type, events.at(-1).type],
      final: final.output_text,
      parsed: parsed.output_parsed,
    };
  },
  async embeddings() {
    const answer = await client.embeddings.create({ model, input: ["안녕", "hello"], dimensions: 8 });
    return { lengths: answer.data.map((each) => each.embedding.length), tokens: answer.usage.prompt_tokens };
  },
  async models() {
    const listed = await collect(await client.models.list());
    return { listed: listed.map((each) => each.id), one: (await client.models.retrieve(model)).id };
  },
  async refusals() {
    return {
      key: await failure(() => new OpenAI({ ...options, apiKey: "idk_live_wrong" }).models.list()),
      model: await failure(() => client.chat.completions.create({ model: "nobody/knows-it", messages })),
      body: await failure(() => client.responses.create({ model, input: "x", previous_response_id: "resp_1" })),
    };
  },
  async breaks() {
    await order("error-mid-stream");
    const chat = await failure(async () =>
      collect(await client.chat.completions.create({ model, messages, stream: true })),
    );
    await order("drop-mid-stream");
    const response = await failure(async () =>
      collect(await client.responses.create({ model, input: "안녕하세요", stream: true })),
    );
    return { chat, response };
  },
  async retries() {
    await order("status-429:1", "status-503:1");
    const patient = new OpenAI({ ...options, maxRetries: 2 });
    const answer = await patient.chat.completions.create({ model, messages });
    return { text: answer.choices[0].message.content };
  },
  async timeouts() {
    await order("slow:3");
    return failure(() => client.chat.completions.create({ model, messages }, { timeout: 300 }));
  },
};

const results = {};
for (const [name, run] of Object.entries(scenarios)) results[name] = await run();
console.log(JSON.stringify(results));
