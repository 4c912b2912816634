//! The page in a Chromium that nobody sees: it calls the telephone and is called by it, and what is heard is counted.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use example_agents::stage::{self, Steps};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::{Arguments, PAGE, Scene};

/// How many packets count as a conversation: two seconds of it.
const ENOUGH: i64 = 100;

/// A sample of the fake microphone's beeps is louder than this, one of silence is not.
const LOUD: u16 = 2000;

/// What a page counts of its call.
const COUNTERS: &str = "['sent', 'received'].map(id => Number(document.getElementById(id).innerText))";

/// Shows everything; whether all of it was good.
pub(crate) fn show(scene: &mut Scene, arguments: &Arguments) -> Result<bool> {
    let hash = scene.certificate.public_key_hash()?;
    let browser = Browser::open(&format!("https://{PAGE}/"), &hash, &arguments.stage.scratch)?;
    let mut show = Show { scene, browser, pictures: arguments.pictures.as_deref() };
    let mut steps = Steps::new(stage::paint());
    steps.step("The page registers over WSS, with its password", || show.registers());
    steps.step("The page calls the telephone: DTLS-SRTP with ICE here, plain RTP there", || show.calls());
    steps.step("The page holds the call and resumes it", || show.holds());
    steps.step("The telephone holds the call and resumes it", || show.is_held());
    steps.step("The page hangs up, and the relay forgets the call", || show.hangs_up());
    steps.step("The telephone calls the page", || show.is_called());
    steps.step("The page is muted, and heard again", || show.mutes());
    steps.step("The telephone hangs up, and the relay forgets the call", || show.is_hung_up());
    Ok(steps.verdict(&show.scene.proxy))
}

struct Show<'a> {
    scene: &'a mut Scene,
    browser: Browser,
    pictures: Option<&'a Path>,
}

impl Show<'_> {
    fn registers(&mut self) -> Result<()> {
        self.browser.until("a registration", "document.getElementById('line')?.dataset.state === 'on'")?;
        let binding = self.scene.pbx.binding_of("200").context("the PBX knows of no registration of the page")?;
        println!("  the page shows  {}", self.browser.shown("line")?);
        println!("  contact         {}\n  path            {}", binding.contact, binding.path.join(", "));
        ensure!(!binding.path.is_empty(), "the proxy was to put itself into the Path: the page is reached over its own connection alone");
        self.picture("idle")
    }

    fn calls(&mut self) -> Result<()> {
        self.browser.write("target", "100")?;
        self.browser.click("place")?;
        self.is_in_state("up")?;
        self.scene.telephone.tells("CALL_ESTABLISHED")?;
        self.both_hear()?;
        self.picture("in-call")
    }

    fn holds(&mut self) -> Result<()> {
        self.browser.click("hold")?;
        self.is_in_state("held")?;
        self.nothing_comes()?;
        self.picture("held")?;
        self.browser.click("hold")?;
        self.is_in_state("up")?;
        self.more_comes()
    }

    fn is_held(&mut self) -> Result<()> {
        self.scene.telephone.keys().press("hold", "")?;
        self.is_in_state("held-there")?;
        self.nothing_comes()?;
        self.scene.telephone.keys().press("resume", "")?;
        self.is_in_state("up")?;
        self.more_comes()
    }

    fn hangs_up(&mut self) -> Result<()> {
        self.browser.click("hangup")?;
        self.is_over()
    }

    fn is_called(&mut self) -> Result<()> {
        self.browser.click("ring")?;
        self.is_in_state("incoming")?;
        println!("  the page shows  {} from {}", self.browser.shown("state")?, self.browser.shown("peer")?);
        self.picture("incoming")?;
        self.browser.click("answer")?;
        self.is_in_state("up")?;
        self.scene.telephone.tells("CALL_ESTABLISHED")?;
        self.both_hear()
    }

    fn mutes(&mut self) -> Result<()> {
        self.browser.click("mute")?;
        self.browser.until("silence", "document.getElementById('level-out').value < 0.001")?;
        println!("  muted: nothing but silence goes out");
        self.browser.click("mute")?;
        self.browser.until("a sound", "document.getElementById('level-out').value > 0.001")?;
        println!("  unmuted: there is sound again");
        Ok(())
    }

    fn is_hung_up(&mut self) -> Result<()> {
        self.scene.telephone.keys().press("hangup", "")?;
        self.is_over()
    }

    fn is_in_state(&mut self, state: &str) -> Result<()> {
        self.browser.until(&format!("the state {state}"), &format!("document.getElementById('call').dataset.state === '{state}'"))
    }

    /// Both ends get packets, and what comes from the telephone is a sound.
    fn both_hear(&mut self) -> Result<()> {
        self.browser.until("two seconds of audio each way", &format!("Math.min(...{COUNTERS}) > {ENOUGH}"))?;
        self.browser.until("a tone of the telephone", "document.getElementById('media').dataset.energyIn > 0.0001")?;
        self.browser.until("a beep of the microphone", "document.getElementById('media').dataset.energyOut > 0.0001")?;
        let (sent, received) = self.counters()?;
        println!("  the browser     sent {sent} packets and received {received}: {}", self.browser.shown("path")?);
        for stream in self.scene.relay.streams()? {
            println!("  the relay       got {} packets of {}", stream.packets, stream.protocol);
            ensure!(stream.packets > ENOUGH, "one side sends next to nothing");
        }
        println!("  the browser     hears the telephone's tone");
        Ok(())
    }

    fn counters(&mut self) -> Result<(i64, i64)> {
        let counters = self.browser.value(COUNTERS)?;
        let number = |at: usize| counters.get(at).and_then(Value::as_i64).unwrap_or_default();
        Ok((number(0), number(1)))
    }

    /// For a second, next to nothing is received.
    fn nothing_comes(&mut self) -> Result<()> {
        // What was under way when the other side heard of it still comes.
        self.second()?;
        let (_, before) = self.counters()?;
        self.second()?;
        let (_, after) = self.counters()?;
        println!("  {}: {} packets received in a second", self.browser.shown("state")?, after - before);
        ensure!(after - before < ENOUGH / 10, "a held call was to be quiet");
        Ok(())
    }

    fn more_comes(&mut self) -> Result<()> {
        let (sent, received) = self.counters()?;
        let both = format!("(([sent, received]) => sent > {} && received > {})({COUNTERS})", sent + ENOUGH, received + ENOUGH);
        self.browser.until("audio after the call was resumed", &both)?;
        println!("  {}: audio both ways again", self.browser.shown("state")?);
        Ok(())
    }

    /// A second of the page's own time, two rounds of its counters.
    fn second(&mut self) -> Result<()> {
        self.browser.value("new Promise(done => setTimeout(done, 1100))").map(drop)
    }

    fn is_over(&mut self) -> Result<()> {
        self.is_in_state("ended")?;
        self.scene.telephone.tells("CALL_CLOSED")?;
        println!("  the telephone   has heard beeps, at their loudest {} of 32768", self.scene.telephone.heard(LOUD)?);
        println!("  the page shows  {}", self.browser.shown("state")?);
        let relay = &self.scene.relay;
        stage::until("a relay without a call", || relay.calls().is_ok_and(|calls| calls.is_empty()).then_some(()))?;
        println!("  the relay       has no call left");
        Ok(())
    }

    /// A picture of the page as it is, if pictures are wanted: wide, and as narrow as a telephone.
    fn picture(&mut self, name: &str) -> Result<()> {
        let Some(folder) = self.pictures else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        for (kind, width, height, scheme) in [("wide", 900, 900, "light"), ("narrow", 360, 760, "dark")] {
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
            self.browser.command("Emulation.setDeviceMetricsOverride", &size)?;
            let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            self.browser.command("Emulation.setEmulatedMedia", &scheme)?;
            let picture = self.browser.command("Page.captureScreenshot", &json!({ "format": "png" }))?;
            let data = BASE64.decode(picture["data"].as_str().unwrap_or_default().as_bytes())?;
            std::fs::write(folder.join(format!("{name}-{kind}.png")), data)?;
        }
        Ok(())
    }
}
