export default {
  site: {
    input: { target: "openapi.json" },
    output: { target: "orval/site.ts", client: "fetch", mode: "single" },
  },
};
