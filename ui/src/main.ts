import { mount } from "svelte";

import "./app.css";
import App from "./App.svelte";
import { connect } from "./backend";

const target = document.getElementById("app");
if (target) {
  mount(App, { target, props: { client: await connect() } });
}
