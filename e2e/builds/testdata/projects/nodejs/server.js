const express = require("express");
const fs = require("fs");

const words = fs.readFileSync("built.txt", "utf8");
const app = express();
app.get("/", (req, res) => res.send(`${words} Node.js ${process.version} ${process.env.STAGE}`));
app.listen(process.env.PORT);
