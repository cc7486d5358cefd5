const ms = require("ms");
console.log(`hello from Node.js ${process.version} after ${ms(60000)}`);
