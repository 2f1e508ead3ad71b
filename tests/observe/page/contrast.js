// Texts whose contrast is below that of WCAG AA, 4.5 to 1: each with its color, its background and the ratio.
() => {
  const parse = (color) => [...color.match(/[\d.]+/g).map(Number), 1].slice(0, 4);
  const over = ([r, g, b, a], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a), 1];
  const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const around = (element) => (element ? [...around(element.parentElement), element] : []);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const hint = element.placeholder && !element.value;
    const text = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!(text || hint) || !element.getClientRects().length) continue;
    const styles = around(element).map((each) => getComputedStyle(each));
    const back = styles.reduce((below, style) => over(parse(style.backgroundColor), below), [255, 255, 255]);
    const opacity = styles.reduce((all, style) => all * style.opacity, 1);
    const color = parse(getComputedStyle(element, hint ? "::placeholder" : null).color);
    const front = over([...color.slice(0, 3), color[3] * opacity], back);
    const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName}.${element.className} ${front} on ${back}: ${ratio.toFixed(2)}`);
  }
  return found;
};
