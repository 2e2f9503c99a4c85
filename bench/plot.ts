/** Groups of bars as an SVG, readable on a light and on a dark page. */
export interface Bars {
  title: string;
  /** Of the vertical axis. */
  unit: string;
  groups: ReadonlyArray<{ label: string; values: ReadonlyArray<{ name: string; value: number }> }>;
}

const WIDTH = 760;
const HEIGHT = 340;
const LEFT = 56;
const TOP = 64;
const BOTTOM = 40;
const COLOURS = ['#64748b', '#d97706', '#2563eb', '#059669'];

export function plot({ title, unit, groups }: Bars): string {
  const top = Math.max(...groups.flatMap(({ values }) => values.map(({ value }) => value))) * 1.1;
  const names = groups[0]?.values.map(({ name }) => name) ?? [];
  const inner = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => TOP + inner - (value / top) * inner;
  const groupWidth = (WIDTH - LEFT - 16) / groups.length;
  const barWidth = (groupWidth * 0.8) / Math.max(1, names.length);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(16, 22, title, 'font-size="15" font-weight="600"'),
    ...names.flatMap((name, index) => [
      `<rect x="${16 + index * 180}" y="34" width="11" height="11" fill="${colour(index)}"/>`,
      text(32 + index * 180, 44, name),
    ]),
  ];
  for (let step = 0; step <= 4; step += 1) {
    const value = (top * step) / 4;
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - 16}" y1="${y(value)}" y2="${y(value)}" stroke="#e2e8f0"/>`);
    parts.push(text(LEFT - 6, y(value) + 4, short(value), 'text-anchor="end"'));
  }
  parts.push(text(16, TOP - 8, unit));
  groups.forEach(({ label, values }, group) => {
    const from = LEFT + group * groupWidth + groupWidth * 0.1;
    parts.push(text(from + (barWidth * names.length) / 2, HEIGHT - 14, label, 'text-anchor="middle"'));
    values.forEach(({ value }, index) => {
      const x = from + index * barWidth;
      parts.push(
        `<rect x="${x.toFixed(1)}" y="${y(value).toFixed(1)}" width="${(barWidth - 3).toFixed(1)}" height="${(TOP + inner - y(value)).toFixed(1)}" fill="${colour(index)}"/>`,
      );
      parts.push(text(x + barWidth / 2 - 1.5, y(value) - 4, short(value), 'text-anchor="middle" font-size="10"'));
    });
  });
  return `${parts.join('\n')}\n</svg>\n`;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#000000';
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="#0f172a" ${attributes}>${safe}</text>`;
}

function short(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)}k`;
  return value >= 10 ? value.toFixed(0) : value.toFixed(2);
}
