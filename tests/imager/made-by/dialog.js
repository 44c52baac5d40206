// What the dialog of Imager 1.8 and 1.9 writes: `applySettings` of its own src/OptionsPopup.qml, run
// with stand-ins for the fields of the window.
// usage: node dialog.js OptionsPopup.qml FOLDER full|password
const fs = require("fs");
const crypto = require("crypto");
const [qml, folder, choice] = process.argv.slice(2);
const source = fs.readFileSync(qml, "utf8");

// The text of a function, by its braces.
function textOf(name) {
  const begin = source.indexOf(`function ${name}(`);
  let depth = 0;
  for (let at = source.indexOf("{", begin); ; at++) {
    if (source[at] === "{") depth++;
    if (source[at] === "}" && --depth === 0) return source.slice(begin, at + 1);
  }
}

const full = choice === "full";
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuZc3RrZXl0ZXN0a2V5dGVzdGtleXRlc3RrZXl0ZXN0";
const keys = full ? [`${key} me`, `${key} it's mine`] : [""];
const hostname = full ? "Truck-7" : "van";
const general = {
  chkHostname: { checked: true },
  fieldHostname: { text: hostname, length: hostname.length },
  chkSetUser: { checked: true },
  fieldUserName: { text: full ? "anna" : "pi" },
  fieldUserPassword: {
    alreadyCrypted: true,
    text: "$5$288K9nAOsa$F5Nj5GnUr3IaVc5poB9y59A9IftNfqAswS2e6nW2wc3",
  },
  chkWifi: { checked: true },
  fieldWifiSSID: { text: "Höfe & garage it's" },
  chkWifiSSIDHidden: { checked: true },
  fieldWifiPassword: { text: "correct horse battery" },
  fieldWifiCountry: { editText: full ? "DE" : "NO" },
  chkLocale: { checked: true },
  fieldKeyboardLayout: { editText: full ? "de" : "no" },
  fieldTimezone: { editText: full ? "Europe/Berlin" : "Europe/Oslo" },
};
const remote = {
  chkSSH: { checked: true },
  radioPubKeyAuthentication: { checked: full },
  radioPasswordAuthentication: { checked: !full },
  fieldPublicKey: { text: keys.join("\n") },
  publicKeyModel: { count: keys.length, get: (at) => ({ publicKeyField: keys[at] }) },
};
let made;
const imageWriter = {
  pbkdf2: (phrase, salt) => crypto.pbkdf2Sync(phrase, salt, 4096, 32, "sha1").toString("hex"),
  setImageCustomization: (...parts) => (made = parts),
};
const scope = { ...general, ...remote, generalTab: general, remoteAccessTab: remote, imageWriter };
const functions = ["addCmdline", "addConfig", "addFirstRun", "escapeshellarg", "addCloudInit",
  "addCloudInitWriteFile", "addCloudInitRun", "applySettings"].map(textOf).join("\n");
new Function(
  ...Object.keys(scope),
  "var cmdline, config, firstrun, cloudinit, cloudinitrun, cloudinitwrite, cloudinitnetwork;\n" +
    `${functions}\napplySettings()`,
)(...Object.values(scope));
const [, , firstrun, cloudinit, network] = made;
// The first line: `_customizeImage` in src/downloadthread.cpp.
const files = { "firstrun.sh": firstrun, "user-data": `#cloud-config\n${cloudinit}`, "network-config": network };
for (const [name, text] of Object.entries(files)) fs.writeFileSync(`${folder}/${name}`, text);
