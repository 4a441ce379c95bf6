export default {
  input: "openapi.json",
  // Node runs TypeScript only if an import names the file with its extension.
  output: { path: "hey-api", module: { extension: ".ts" } },
};
