// Makes the calls it reads from standard input with the AWS SDK for JavaScript.
//
// A line is {"operation": name, "input": {...}}; the answer is a line, {"output":
// {...}} with times in milliseconds, or {"error": code, "message": text}.

import { createInterface } from "node:readline";
import * as apprunner from "@aws-sdk/client-apprunner";

const [endpoint, region, accessKeyId, secretAccessKey] = process.argv.slice(2);
const client = new apprunner.AppRunnerClient({
  endpoint, region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1,
});

// JSON.stringify hands dates over as text, but for the object that holds them.
function plain(name, value) {
  return this[name] instanceof Date ? this[name].getTime() : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, input } = JSON.parse(line);
  let answer;
  try {
    const { $metadata, ...output } = await client.send(new apprunner[`${operation}Command`](input));
    answer = { output };
  } catch (e) {
    answer = { error: e.name, message: e.message };
  }
  console.log(JSON.stringify(answer, plain));
}
